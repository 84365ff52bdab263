// A file as a store: what it promises, and what it never does.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "server/stores/threads.h"
#include "unit/folder.h"

using server::FileStore;
using server::StoreError;
using namespace dmcore;

namespace {

struct File {
    Folder folder;
    std::string path = folder / "disk";

    FileStore::Options options(std::uint64_t sectors = 2048) const {
        return {.path = path, .size_sectors = sectors, .create = true};
    }
    std::uint64_t allocated_bytes() const {
        struct stat found {};
        REQUIRE(::stat(path.c_str(), &found) == 0);
        return static_cast<std::uint64_t>(found.st_blocks) * 512;
    }
};

struct Io {
    Bio bio;
    std::string data;
    Segment segment;

    Io(Op op, std::uint64_t sector, std::uint64_t sectors, char fill = 0)
        : data(has_data(op) ? sectors * 512 : 0, fill),
          segment{reinterpret_cast<std::byte*>(data.data()), data.size()} {
        bio.op = op;
        bio.iter = {.sector = sector, .bytes = sectors * 512};
        bio.segments = &segment;
    }
    Io(const Io&) = delete;
    Io& operator=(const Io&) = delete;
    Status on(FileStore& store) {
        bio.failure = {};
        FileStore::Bios alone;
        alone.push_back(bio);
        store.run(alone);
        return bio.failure.status;
    }
    bool tried_on(FileStore& store) {
        FileStore::Bios alone;
        alone.push_back(bio);
        return store.try_read(alone);
    }
};

}  // namespace

TEST_CASE_FIXTURE(File, "file: created sparse at its size, opened again with its data") {
    {
        FileStore store("s", options());
        CHECK(std::filesystem::file_size(path) == 2048 * 512);
        CHECK(allocated_bytes() == 0);
        CHECK(Io(Op::write, 7, 3, 'x').on(store) == Status::ok);
    }
    FileStore store("s", {.path = path, .size_sectors = 2048});
    Io read(Op::read, 6, 5);
    CHECK(read.on(store) == Status::ok);
    CHECK(read.data == std::string(512, '\0') + std::string(3 * 512, 'x') + std::string(512, '\0'));
}

TEST_CASE_FIXTURE(File, "file: what can't be opened says which store and why") {
    const auto message = [](const FileStore::Options& with) -> std::string {
        try {
            FileStore store("s", with);
        } catch (const StoreError& error) {
            return error.what();
        }
        return "opened";
    };
    CHECK(message({.path = path, .size_sectors = 8}) ==
          "store 's': can't open " + path + ": No such file or directory");
    std::ofstream(path) << std::string(512, 'x');
    CHECK(message(options(8)) ==
          "store 's': " + path + " has 512 bytes, less than the 4096 of its 'size'");
    CHECK(std::filesystem::file_size(path) == 512);  // Never grown, never cut.
    CHECK(message({.path = folder.path.string(), .size_sectors = 1}).find("store 's'") == 0);
}

TEST_CASE_FIXTURE(File, "file: an empty one that a killed server left behind is taken up") {
    std::ofstream(path).close();
    FileStore store("s", options());
    CHECK(std::filesystem::file_size(path) == 2048 * 512);
}

TEST_CASE_FIXTURE(File, "file: one server at a time ([O-11])") {
    FileStore first("a", options());
    CHECK_THROWS_AS(FileStore("b", options()), StoreError);
}

TEST_CASE_FIXTURE(File,
                  "file: discard gives the space back, write_zeroes keeps it if asked (T16)") {
    FileStore store("s", options());
    Io(Op::write, 0, 2048, 'x').on(store);
    REQUIRE(store.sync());
    const std::uint64_t full = allocated_bytes();
    Io zeroes(Op::write_zeroes, 0, 1024);
    zeroes.bio.no_unmap = true;
    CHECK(zeroes.on(store) == Status::ok);
    CHECK(allocated_bytes() >= full);
    Io read(Op::read, 0, 1025);
    read.on(store);
    CHECK(read.data == std::string(1024 * 512, '\0') + std::string(512, 'x'));
    CHECK(Io(Op::discard, 0, 2048).on(store) == Status::ok);
    CHECK(allocated_bytes() < full / 4);
    Io after(Op::read, 2000, 8);
    after.on(store);
    CHECK(after.data == std::string(8 * 512, '\0'));
}

TEST_CASE_FIXTURE(File, "file: `discard: ignore` keeps data and space") {
    FileStore::Options keep = options();
    keep.punch = false;
    FileStore store("s", keep);
    Io(Op::write, 0, 8, 'x').on(store);
    CHECK(Io(Op::discard, 0, 8).on(store) == Status::ok);
    Io read(Op::read, 0, 8);
    read.on(store);
    CHECK(read.data == std::string(8 * 512, 'x'));
}

TEST_CASE_FIXTURE(File,
                  "file: one that was cut short is an error, never old bytes (abuse case 38)") {
    FileStore store("s", options());
    REQUIRE(::truncate(path.c_str(), 512) == 0);
    Io read(Op::read, 0, 4, '!');
    CHECK(read.on(store) == Status::io_error);
    CHECK(std::string(read.bio.failure.where) == "store 's'");
    CHECK_FALSE(read.tried_on(store));
}

TEST_CASE_FIXTURE(File, "file: what the page cache has is read at once, all or nothing") {
    FileStore store("s", options());
    Io(Op::write, 0, 8, 'x').on(store);
    Io read(Op::read, 0, 8);
    if (read.tried_on(store)) CHECK(read.data == std::string(8 * 512, 'x'));
}

TEST_CASE_FIXTURE(File, "file: a sector read is one write's, never a mix ([O-8], abuse case 33)") {
    FileStore store("s", options(256));
    std::atomic<bool> stop{false};
    std::atomic<int> torn{0};
    std::vector<std::thread> threads;
    threads.emplace_back([&] {
        for (char fill = 'a'; !stop; fill = fill == 'a' ? 'b' : 'a') {
            Io(Op::write, 0, 128, fill).on(store);
        }
    });
    for (const bool cached : {false, true}) {
        threads.emplace_back([&, cached] {
            Io read(Op::read, 0, 128);
            while (!stop) {
                if (!cached) {
                    read.on(store);
                } else if (!read.tried_on(store)) {
                    continue;
                }
                for (std::size_t at = 0; at < read.data.size(); at += 512) {
                    if (std::memcmp(&read.data[at], &read.data[at + 256], 256) != 0) ++torn;
                }
            }
        });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    stop = true;
    for (auto& thread : threads) thread.join();
    CHECK(torn == 0);
}

TEST_CASE_FIXTURE(File, "file: syncs at the same time share their work, and all are good ([O-5])") {
    FileStore store("s", options());
    std::atomic<int> good{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&, i] {
            Io write(Op::write, static_cast<std::uint64_t>(i) * 8, 8, 'x');
            write.bio.fua = true;
            if (write.on(store) == Status::ok) ++good;
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(good == 8);
}

TEST_CASE_FIXTURE(File, "file: what lies side by side is one call, what must be durable is alone") {
    FileStore store("s", options());
    std::deque<Io> all;
    all.emplace_back(Op::write, 0, 8, 'a');
    all.emplace_back(Op::write, 8, 8, 'b');
    all.emplace_back(Op::write, 24, 8, 'c');
    all.emplace_back(Op::read, 32, 8);
    all.emplace_back(Op::write, 40, 8, 'd');
    all.emplace_back(Op::write, 48, 8, 'e').bio.fua = true;
    all.emplace_back(Op::discard, 56, 8);
    all.emplace_back(Op::discard, 64, 8);
    FileStore::Bios bios;
    for (Io& each : all) bios.push_back(each.bio);
    std::vector<std::size_t> sizes;
    while (!bios.empty()) {
        FileStore::Bios run;
        FileStore::take_run(bios, run);
        sizes.push_back(run.count());
        store.run(run);
    }
    CHECK(sizes == std::vector<std::size_t>{2, 1, 1, 1, 1, 1, 1});
    Io read(Op::read, 0, 56);
    REQUIRE(read.on(store) == Status::ok);
    const auto block = [](char fill) { return std::string(8 * 512, fill); };
    CHECK(read.data == block('a') + block('b') + block('\0') + block('c') + block('\0') +
                           block('d') + block('e'));
}

TEST_CASE_FIXTURE(File, "file: a run is no longer than one call to the kernel can take") {
    std::deque<Io> all;
    FileStore::Bios bios;
    for (std::uint64_t i = 0; i < 100; ++i) bios.push_back(all.emplace_back(Op::write, i, 1).bio);
    FileStore::Bios run;
    FileStore::take_run(bios, run);
    CHECK(run.count() == 64);
    CHECK(bios.count() == 36);
}

TEST_CASE("file: a range that can't be had whole is not held in part") {
    using server::RangeGuards;
    constexpr std::uint64_t block = 64 << 10;
    RangeGuards guards;
    {
        RangeGuards::Hold second(guards, block, 1, true);
        REQUIRE(second.try_lock());
        RangeGuards::Hold both(guards, 0, 2 * block, false);
        CHECK_FALSE(both.try_lock());
        RangeGuards::Hold first(guards, 0, block, true);
        CHECK(first.try_lock());
    }
    RangeGuards::Hold both(guards, 0, 2 * block, false);
    RangeGuards::Hold more(guards, block / 2, 4 * block, false);
    CHECK(both.try_lock());
    CHECK(more.try_lock());
}

TEST_CASE_FIXTURE(File, "file: of bios done in one call, only those fail that can't be done") {
    FileStore store("s", options());
    Io(Op::write, 0, 8, 'x').on(store);
    REQUIRE(::truncate(path.c_str(), 8 * 512) == 0);
    Io there(Op::read, 0, 8);
    Io cut_off(Op::read, 8, 8);
    FileStore::Bios run;
    run.push_back(there.bio);
    run.push_back(cut_off.bio);
    CHECK_FALSE(store.try_read(run));
    store.run(run);
    CHECK(there.bio.failure.status == Status::ok);
    CHECK(there.data == std::string(8 * 512, 'x'));
    CHECK(cut_off.bio.failure.status == Status::io_error);
    CHECK(cut_off.bio.failure.sector == 8);
    CHECK(store.errors() == 1);
}

namespace {

/// Where bios come back to.
class Returned final : public server::Inbox {
  public:
    void finished(FileStore::Bios& bios) noexcept override {
        const std::lock_guard lock(mutex_);
        while (bios.pop() != nullptr) ++count_;
        changed_.notify_all();
    }
    bool wait_for(std::size_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return count_ == count; });
    }
    std::size_t count() {
        const std::lock_guard lock(mutex_);
        return count_;
    }

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::size_t count_ = 0;
};

struct Queued {
    std::shared_ptr<FileStore> store;
    Returned returned;
    std::unique_ptr<server::FileQueue> queue;
    std::deque<Io> all;

    Queued(const std::shared_ptr<server::FileThreads>& threads, const std::string& path)
        : store(std::make_shared<FileStore>(
              "s", FileStore::Options{.path = path, .size_sectors = 4096, .create = true})),
          queue(std::make_unique<server::FileQueue>(threads, store,
                                                    std::vector<server::Inbox*>{&returned})) {}
    /// Not side by side, so each is a run of its own.
    void write(std::uint64_t sector) {
        FileStore::Bios bios;
        bios.push_back(all.emplace_back(Op::write, sector, 2, 'w').bio);
        queue->submit(0, bios);
    }
};

}  // namespace

TEST_CASE_FIXTURE(File, "file: a store that hangs holds its share of the threads, no more") {
    const auto threads = std::make_shared<server::FileThreads>();
    Queued slow(threads, folder / "slow");
    Queued other(threads, folder / "other");
    {
        server::RangeGuards::Hold hold(slow.store->file()->guards(), 0, 4096 * 512, true);
        hold.lock();
        for (std::uint64_t i = 0; i < 20; ++i) slow.write(i * 10);
        for (std::uint64_t i = 0; i < 20; ++i) other.write(i * 10);
        CHECK(other.returned.wait_for(20));
        CHECK(slow.returned.count() == 0);
    }
    CHECK(slow.returned.wait_for(20));
    slow.write(0);
    slow.queue.reset();  // Finishes what is queued.
    CHECK(slow.returned.count() == 21);
    for (std::uint64_t i = 0; i < 20; ++i) other.write(i * 10);
    CHECK(other.returned.wait_for(40));
}

namespace {

/// A store whose device has a ring, on a machine and a file system where that reads the page cache
/// at once.
struct Ringed : File {
    asio::io_context io;
    Agenda agenda;
    std::unique_ptr<server::FileRing> ring = server::FileRing::open(io, agenda);
    std::shared_ptr<FileStore> store = std::make_shared<FileStore>("s", options());
    Returned returned;  // By threads.
    server::FileDevice device{
        std::make_shared<server::FileQueue>(std::make_shared<server::FileThreads>(), store,
                                            std::vector<server::Inbox*>{&returned}),
        0, agenda, ring.get()};
    std::deque<Io> all;
    std::size_t ended = 0;

    bool usable() {
        REQUIRE(Io(Op::write, 0, 2048, 'x').on(*store) == Status::ok);
        return ring != nullptr && Io(Op::read, 0, 1).tried_on(*store);
    }
    void submit(Op op, std::uint64_t sector, char fill = 0) {
        Bio& bio = all.emplace_back(op, sector, 2, fill).bio;
        bio.agenda = &agenda;
        bio.owner = &ended;
        bio.done = [](Bio& done) noexcept { ++*static_cast<std::size_t*>(done.owner); };
        device.submit(bio);
    }
};

}  // namespace

TEST_CASE_FIXTURE(Ringed,
                  "file: of the page cache one turn reads more than the ring has room for") {
    if (!usable()) return;
    for (std::uint64_t i = 0; i < 600; ++i) submit(Op::read, i * 3);  // Not side by side.
    agenda.run_all();
    CHECK(ended == 600);
    for (const Io& read : all) {
        CHECK(read.bio.failure.status == Status::ok);
        CHECK(read.data == std::string(1024, 'x'));
    }
    CHECK(returned.count() == 0);
}

TEST_CASE_FIXTURE(Ringed, "file: a write goes to the ring behind reads of its turn and its place") {
    if (!usable()) return;
    submit(Op::read, 0);
    submit(Op::read, 10);
    submit(Op::write, 0, 'y');
    agenda.run_all();
    for (int i = 0; i < 100 && ended + returned.count() < 3; ++i) {
        io.run_one_for(std::chrono::milliseconds(50));
        agenda.run_all();
    }
    CHECK(ended == 3);
    CHECK(returned.count() == 0);
    CHECK(all.front().data == std::string(1024, 'x'));
}
