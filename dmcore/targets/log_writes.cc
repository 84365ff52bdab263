#include <algorithm>
#include <functional>
#include <memory>
#include <new>
#include <utility>

#include "dmcore/agenda.h"
#include "dmcore/target.h"
#include "dmcore/targets/log_writes_log.h"

namespace dmcore {
namespace {

constexpr const char* no_memory = "there is no memory";

/// Writes to the log device on one shard, for one lane. Each I/O under way keeps it.
class LogWriter : public std::enable_shared_from_this<LogWriter> {
  public:
    LogWriter(std::shared_ptr<WriteLog> log, Lower& lower, Agenda& agenda) noexcept
        : log_(std::move(log)), lower_(&lower), agenda_(agenda) {}

    WriteLog& log() noexcept { return *log_; }

    /// Writes what `entries` returns.
    template <class Entries>
    void write(const Entries& entries) noexcept {
        try {
            for (PlacedEntry& each : entries()) submit(std::move(each));
        } catch (const std::bad_alloc&) {
            log_->stop(no_memory);
        }
        write_super();
    }

    /// `then` when all that this lane has written has ended.
    void close(const std::function<void()>& then) noexcept {
        write([this] { return log_->leave(); });
        if (in_flight_ == 0) {
            then();
        } else {
            closed_ = then;
        }
    }

    /// Nothing is submitted after this.
    void detach() noexcept { lower_ = nullptr; }

  private:
    /// One block, and the data that follows it.
    struct Io : Bio {
        std::shared_ptr<LogWriter> writer;
        std::unique_ptr<LogEntry> entry;  // Null: the super.
        std::uint64_t number = 0;
        std::vector<std::byte> block;
        Segment pieces[2];
    };

    std::unique_ptr<Io> make(std::uint64_t sector) {
        auto io = std::make_unique<Io>();
        io->op = Op::write;
        io->iter.sector = sector;
        io->writer = shared_from_this();
        io->agenda = &agenda_;
        io->done = done;
        io->block.resize(log_->block_bytes());
        return io;
    }

    void submit(PlacedEntry placed) {
        auto io = make(placed.sector);
        io->entry = std::move(placed.entry);
        io->number = placed.number;
        const LogEntry& entry = *io->entry;
        log_format::put(io->block.data(), entry.header);
        std::transform(entry.text.begin(), entry.text.end(),
                       io->block.begin() + log_format::header_bytes,
                       [](char c) { return std::byte(c); });
        submit(std::move(io));
    }

    void write_super() noexcept {
        if (lower_ == nullptr) return;
        const auto count = log_->next_super();
        if (!count) return;
        try {
            auto io = make(0);
            log_format::put(
                io->block.data(),
                log_format::Super{.entries = *count, .block_bytes = log_->block_bytes()});
            submit(std::move(io));
        } catch (const std::bad_alloc&) {
            log_->super_written(false);
        }
    }

    void submit(std::unique_ptr<Io> owned) noexcept {
        if (lower_ == nullptr) return;
        Io* io = owned.release();  // done() takes it back.
        io->pieces[0] = {io->block.data(), io->block.size()};
        if (io->entry != nullptr) io->pieces[1] = {io->entry->data.data(), io->entry->data.size()};
        io->segments = io->pieces;
        io->iter.bytes = io->pieces[0].bytes + io->pieces[1].bytes;
        ++in_flight_;
        ++lower_->issued;
        lower_->device->submit(*io);
    }

    static void done(Bio& bio) noexcept {
        const std::unique_ptr<Io> io(static_cast<Io*>(&bio));
        LogWriter& writer = *io->writer;
        const bool well = io->failure.status == Status::ok;
        if (io->entry != nullptr) {
            writer.log_->written(io->number, well);
        } else {
            writer.log_->super_written(well);
        }
        // A super that this made possible is this lane's to write, so it is waited for.
        writer.write_super();
        if (--writer.in_flight_ == 0 && writer.closed_) std::exchange(writer.closed_, nullptr)();
    }

    std::shared_ptr<WriteLog> log_;
    Lower* lower_;
    Agenda& agenda_;
    std::uint64_t in_flight_ = 0;
    std::function<void()> closed_;  // While closing.
};

/// A device whose writes, flushes and discards are recorded on another one, in the order in which
/// they became durable (dm-semantics 7.8).
class LogWrites final : public Target {
  public:
    explicit LogWrites(const TargetArgs& args);
    ~LogWrites() override { writer_->detach(); }

    Mapped map(Clone& clone) noexcept override;
    void end_io(Clone& clone) noexcept override;
    void close(const std::function<void()>& then) override { writer_->close(then); }
    std::string message(std::span<const std::string> words) override;
    std::string table_text(TextForm) const override {
        return device_->device->name() + ' ' + log_device_->device->name();
    }
    std::string status_text() const override { return writer_->log().status_text(); }
    std::string state_text() const override { return writer_->log().state_text(); }
    void each_area(const Area& area) const override { area(*device_, 0, sectors_); }
    void locate(Place& place) const noexcept override { lead_to(place, *device_, place.sector); }
    void adjust_limits(Limits& limits) const override { limits.write_cache = true; }  // [L-6]

  private:
    void ended(std::unique_ptr<LogEntry> entry) noexcept;

    Lower* device_;
    Lower* log_device_;
    std::uint64_t sectors_;
    std::shared_ptr<LogWriter> writer_;
};

LogWrites::LogWrites(const TargetArgs& args) : sectors_(args.sectors) {
    if (args.count() < 2) {
        args.fail("argument-count", "log-writes takes 2 arguments: device log");
    }
    if (args.start_sector != 0) {  // [D-8]
        args.fail("not-first", "log-writes must be the first segment: its log counts from there");
    }
    device_ = &args.device(0);
    log_device_ = &args.device(1);
    const Limits& data = device_->limits;
    const Limits& log = log_device_->limits;
    if (log.logical_block_bytes > data.logical_block_bytes) {
        args.fail("misaligned",
                  "the log is written in blocks of " + std::to_string(data.logical_block_bytes) +
                      " bytes, as '" + device_->device->name() + "' has; '" +
                      log_device_->device->name() + "' has larger ones",
                  1);
    }
    if (*args.shared == nullptr) {
        *args.shared = std::make_shared<WriteLog>(data.logical_block_bytes, log.size_sectors);
    }
    auto shared = std::static_pointer_cast<WriteLog>(*args.shared);
    shared->join();
    writer_ = std::make_shared<LogWriter>(std::move(shared), *log_device_, *args.agenda);
    traits_ = {.flush_clones = 1, .discard_clones = 1, .promises_discard = true, .sees_end = true};
}

Mapped LogWrites::map(Clone& clone) noexcept {
    clone.lower = device_;  // At the same sector [LW-1].
    clone.target_data = nullptr;
    WriteLog& log = writer_->log();
    const bool skips = clone.op == Op::discard && !device_->limits.discard;  // [LW-12]
    std::unique_ptr<LogEntry> entry;
    if (clone.op != Op::read && log.enabled()) {
        try {
            entry = log.copy(clone);
        } catch (const std::bad_alloc&) {
            log.stop(no_memory);
        }
    }
    if (skips) {
        ended(std::move(entry));
        return Mapped::done;
    }
    clone.target_data = entry.release();
    return Mapped::remapped;
}

void LogWrites::end_io(Clone& clone) noexcept {
    ended(std::unique_ptr<LogEntry>(
        static_cast<LogEntry*>(std::exchange(clone.target_data, nullptr))));
}

void LogWrites::ended(std::unique_ptr<LogEntry> entry) noexcept {
    if (entry == nullptr) return;
    writer_->write([&] { return writer_->log().ended(std::move(entry)); });
}

std::string LogWrites::message(std::span<const std::string> words) {
    if (words.size() != 2) throw TableError("bad-message", "log-writes takes messages of 2 words");
    if (lower_case(words[0]) != "mark") {
        throw TableError("bad-message", "log-writes has no message '" + words[0] + "'", 0,
                         "it has one: mark TEXT");
    }
    writer_->write([&] { return writer_->log().mark(words[1]); });
    return {};
}

constexpr ArgSpec arg_specs[] = {
    {"device", ArgSpec::Kind::device},
    {"log", ArgSpec::Kind::device},
};

}  // namespace

extern const TargetType log_writes_target;
const TargetType log_writes_target = {
    .name = "log-writes",
    .version = "1.1.0",
    .summary = "records every write on a log, to replay to any point",
    .args = arg_specs,
    .features = {},
    .make = [](const TargetArgs& args) -> std::unique_ptr<Target> {
        return std::make_unique<LogWrites>(args);
    },
};

}  // namespace dmcore
