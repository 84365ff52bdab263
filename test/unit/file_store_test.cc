// A file as a store: what it promises, and what it never does.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "server/stores/file.h"
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
        store.run(bio);
        return bio.failure.status;
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
    CHECK_FALSE(store.try_read(read.bio));
}

TEST_CASE_FIXTURE(File, "file: what the page cache has is read at once, all or nothing") {
    FileStore store("s", options());
    Io(Op::write, 0, 8, 'x').on(store);
    Io read(Op::read, 0, 8);
    if (store.try_read(read.bio)) CHECK(read.data == std::string(8 * 512, 'x'));
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
                } else if (!store.try_read(read.bio)) {
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
