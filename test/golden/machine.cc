#include "golden/machine.h"

#include <algorithm>
#include <cstring>

namespace golden {
namespace {

using dmcore::Op;

constexpr std::uint64_t sector_bytes = dmcore::sector_bytes;

std::string joined(const std::vector<std::string>& rows) {
    std::string text;
    for (std::string row : rows) {
        std::erase(row, '@');  // Names stand for themselves here.
        text += row + '\n';
    }
    return text;
}

/// A name that is none of a device is looked up like a number of one.
std::string errno_of(const dmcore::TableError& error) {
    if (error.slug == "unknown-device") return "ENXIO";
    if (error.slug == "no-such-region") return "ENOENT";
    if (error.slug == "too-many-areas") return "EOVERFLOW";
    return "EINVAL";
}

std::uint64_t column(const std::vector<std::uint64_t>& columns, std::size_t number) {
    return columns.at(number - 1);
}

}  // namespace

void Machine::pass_to(std::uint64_t ms) {
    const dmcore::Time until = std::chrono::milliseconds(ms);
    if (until > world_.clock.now()) world_.pass(until - world_.clock.now());
}

void Machine::add_disk(const std::string& name, std::uint64_t sectors, std::uint32_t block_bytes) {
    stack::Probe& probe = world_.probe(name, sectors);
    probe.shape().logical_block_bytes = block_bytes;
    probe.shape().io_min_bytes = block_bytes;
    for (std::uint64_t i = 0; i < sectors; ++i) {
        Sector sector = background(name.at(0), i);
        const dmcore::Segment segment{sector.data(), sector.size()};
        dmcore::Bio bio;
        bio.op = Op::write;
        bio.iter = {i, sector_bytes, 0, 0};
        bio.segments = &segment;
        probe.store->run(bio);
    }
    Disk& disk = disks_[name] = {&probe, {}};
    // Counts like the stat file; refuses zeroes like a loop device over tmpfs.
    probe.decide = [&disk](const dmcore::Bio& bio) {
        const std::uint64_t count = bio.iter.sectors();
        disk.counters["rd_sectors"] += bio.op == Op::read ? count : 0;
        disk.counters["wr_sectors"] +=
            bio.op == Op::write || bio.op == Op::write_zeroes ? count : 0;
        disk.counters["dc_sectors"] += bio.op == Op::discard ? count : 0;
        return bio.op == Op::write_zeroes ? stack::Answer::fail : stack::Answer::good;
    };
    probe.failure.status = dmcore::Status::not_supported;
}

void Machine::shape_disk(const std::string& name, const Json& limits) {
    dmcore::Limits& shape = disks_.at(name).probe->shape();
    shape.io_min_bytes = limits.at("minimum_io_size");
    shape.io_opt_bytes = limits.at("optimal_io_size");
    shape.discard = limits.at("discard_max_bytes") != 0;
    shape.write_cache = limits.at("write_cache") == "write back";
}

std::string Machine::create(const std::string& name, const std::vector<std::string>& rows,
                            bool read_only) {
    dmcore::DeviceOptions options;
    options.read_only = read_only;
    try {
        devices_[name] = &world_.device(name, joined(rows), options);
        return {};
    } catch (const dmcore::TableError& error) {
        devices_.erase(name);
        world_.remove(name);
        return errno_of(error);
    }
}

std::string Machine::load(const std::string& name, const std::vector<std::string>& rows) {
    try {
        devices_.at(name)->load(world_.build(name, joined(rows)));
        return {};
    } catch (const dmcore::TableError& error) {
        return errno_of(error);
    }
}

void Machine::suspend(const std::string& name) {
    world_.suspend(*devices_.at(name), false);
}

void Machine::resume(const std::string& name) {
    world_.resume(*devices_.at(name));
}

std::string Machine::remove(const std::string& name) {
    if (!devices_.contains(name)) return "ENXIO";
    for (const auto& [other, device] : devices_) {
        const dmcore::Table* table = device->lane(0).table();
        if (table == nullptr) continue;
        const bool uses = std::ranges::any_of(table->lowers(), [&](const dmcore::Lower& each) {
            return each.device->name() == name;
        });
        if (uses) return "EBUSY";
    }
    devices_.at(name)->retire([] {});
    world_.run();
    devices_.erase(name);
    world_.remove(name);
    return {};
}

std::string Machine::message(const std::string& name, std::uint64_t sector,
                             const std::string& words, std::vector<std::string>& answer) {
    std::istringstream stream(words);
    std::vector<std::string> list;
    for (std::string word; stream >> word;) list.push_back(word);
    std::string error;
    devices_.at(name)->message(sector, list, [&](dmcore::MessageAnswer got) {
        if (const auto* refused = std::get_if<dmcore::TableError>(&got)) {
            error = errno_of(*refused);
            return;
        }
        std::istringstream lines(std::get<std::string>(got));
        for (std::string line; std::getline(lines, line);) answer.push_back(line);
    });
    world_.run();
    return error;
}

dmcore::BlockDevice& Machine::device_of(const std::string& name) {
    if (const auto disk = disks_.find(name); disk != disks_.end()) return *disk->second.probe;
    return devices_.at(name)->lane(0);
}

const dmcore::Limits& Machine::limits(const std::string& name) {
    return device_of(name).limits();
}

std::string Machine::obstacle(const std::string& name, std::string& at) {
    if (is_disk(name)) return {};
    if (!has_device(name)) return "NO_DEVICE";
    const dmcore::MappedDevice& device = *devices_.at(name);
    if (device.suspended()) {
        at = name;
        return "SUSPENDED";
    }
    const dmcore::Table* table = devices_.at(name)->lane(0).table();
    for (const dmcore::Lower& below : table->lowers()) {
        const std::string found = obstacle(below.device->name(), at);
        if (!found.empty()) return found;
    }
    return {};
}

/// One request of the block layer, and the time until it is answered.
std::string Machine::submit(const std::string& name, Op op, std::uint64_t sector,
                            std::uint64_t sectors, bool fua, std::vector<std::byte>* data) {
    auto request = world_.make(op, sector, op == Op::flush ? 0 : sectors);
    dmcore::Segment segment;
    if (data != nullptr) {
        segment = {data->data(), data->size()};
        request->bio.segments = &segment;
    }
    request->bio.fua = fua;
    request->bio.agenda = &world_.agenda();
    device_of(name).submit(request->bio);
    world_.run();
    while (request->answers == 0) world_.pass(std::chrono::milliseconds(1));
    const dmcore::Status status = request->status();
    return status == dmcore::Status::ok ? "" : std::string(dmcore::name_of(status));
}

/// A flush reaches only a disk that has a cache [L-3].
std::string Machine::flush(const std::string& name) {
    if (!limits(name).write_cache) return "";
    note_forwarded(name, false);
    return submit(name, Op::flush, 0, 0, false, nullptr);
}

void Machine::note_forwarded(const std::string& name, bool below_unstriped) {
    if (is_disk(name)) return;
    if (below_unstriped) ++forwarded_[name];
    const dmcore::Table& table = *devices_.at(name)->lane(0).table();
    std::map<std::string, bool> below;
    for (const dmcore::Table::Row& row : table.rows()) {
        row.target->each_area([&](const dmcore::Lower& lower, std::uint64_t, std::uint64_t) {
            below[lower.device->name()] |= row.type->name == "unstriped";
        });
    }
    for (const auto& [lower, unstriped] : below)
        note_forwarded(lower, below_unstriped || unstriped);
}

std::string Machine::discard(const std::string& name, std::uint64_t sector, std::uint64_t sectors) {
    if (!limits(name).discard) return "EOPNOTSUPP";
    const std::uint64_t granularity = std::max<std::uint64_t>(granularity_[name], 1);
    const std::uint64_t unaligned = sector % granularity;
    const std::uint64_t first =
        unaligned == 0 ? sectors : std::min(sectors, granularity - unaligned);
    const std::string error = submit(name, Op::discard, sector, first, false, nullptr);
    if (first == sectors) return error;
    const std::string rest =
        submit(name, Op::discard, sector + first, sectors - first, false, nullptr);
    return error.empty() ? rest : error;
}

std::string Machine::transfer(const Event& event, std::uint64_t sectors, IoResult& result) {
    const std::string op = event.json.at("op");
    const std::string name = event.device();
    const std::uint64_t sector = event.json.at("sec");
    std::vector<std::byte> bytes(sectors * sector_bytes);
    if (op == "r") {
        const std::string error = submit(name, Op::read, sector, sectors, false, &bytes);
        result.data.resize(sectors);
        for (std::size_t i = 0; i < sectors; ++i) {
            std::memcpy(result.data[i].data(), bytes.data() + i * sector_bytes, sector_bytes);
        }
        return error;
    }
    const char tag = event.json.at("tag").get<std::string>().at(0);
    for (std::size_t i = 0; i < sectors; ++i) {
        const Sector one = written(tag, event.json.at("io"), sector + i);
        std::memcpy(bytes.data() + i * sector_bytes, one.data(), sector_bytes);
    }
    const bool synced = op == "wf";  // O_DSYNC: a write with FUA, then fsync.
    const std::string error = submit(name, Op::write, sector, sectors, synced, &bytes);
    return error.empty() && synced ? flush(name) : error;
}

std::string Machine::zero_out(const std::string& name, std::uint64_t sector,
                              std::uint64_t sectors) {
    const Zeroing how = zeroing_[name];
    std::string error = how.offered ? "" : "EOPNOTSUPP";
    const std::uint64_t chunk = how.chunk_sectors == 0 ? sectors : how.chunk_sectors;
    for (std::uint64_t at = 0; how.offered && at < sectors;) {
        const std::uint64_t left = how.chunk_sectors == 0 ? sectors : chunk - (sector + at) % chunk;
        const std::uint64_t count = std::min(left, sectors - at);
        error = submit(name, Op::write_zeroes, sector + at, count, false, nullptr);
        at += count;
    }
    if (error != "EOPNOTSUPP") return error;
    std::vector<std::byte> zeroes(sectors * sector_bytes);
    return submit(name, Op::write, sector, sectors, false, &zeroes);
}

IoResult Machine::io(const Event& event) {
    IoResult result;
    const std::string name = event.device();
    const std::string op = event.json.at("op");
    const std::uint64_t sector = event.json.at("sec");
    const std::uint64_t count = event.json.at("n");
    const std::uint64_t block = limits(name).logical_block_bytes / sector_bytes;
    const std::uint64_t size = limits(name).size_sectors;
    const dmcore::Time before = world_.clock.now();
    if (limits(name).read_only && op != "r" && op != "f") {
        result.error = "EPERM";
    } else if (sector % block != 0 || count % block != 0) {
        result.error = "EINVAL";
    } else if (op == "f") {
        result.error = flush(name);
    } else if (op == "d") {
        result.error = discard(name, sector, count);
    } else if (op == "z") {
        result.error = zero_out(name, sector, count);
    } else if (sector >= size) {
        result.error = op == "r" ? "" : "ENOSPC";
    } else {
        result.sectors = std::min(count, size - sector);
        result.error = transfer(event, result.sectors, result);
    }
    const auto took =
        std::chrono::duration_cast<std::chrono::milliseconds>(world_.clock.now() - before);
    result.took_ms = static_cast<std::uint64_t>(took.count());
    return result;
}

Counters Machine::counters(const std::string& name) {
    if (is_disk(name)) return disks_.at(name).counters;
    std::istringstream text(dmcore::sysfs_stat(world_.stats(*devices_.at(name))));
    std::vector<std::uint64_t> columns;
    for (std::uint64_t each = 0; text >> each;) columns.push_back(each);
    return {{"rd_ios", column(columns, 1)},      {"rd_merges", column(columns, 2)},
            {"rd_sectors", column(columns, 3)},  {"wr_ios", column(columns, 5)},
            {"wr_merges", column(columns, 6)},   {"wr_sectors", column(columns, 7)},
            {"dc_ios", column(columns, 12)},     {"dc_merges", column(columns, 13)},
            {"dc_sectors", column(columns, 14)}, {"fl_ios", column(columns, 16)}};
}

std::string Machine::table_text(const std::string& name) {
    const dmcore::Table* table = devices_.at(name)->lane(0).table();
    return table == nullptr ? "" : table->table_text();
}

std::string Machine::status_text(const std::string& name) {
    const dmcore::Table* table = devices_.at(name)->lane(0).table();
    return table == nullptr ? "" : table->status_text();
}

std::vector<Sector> Machine::image(const std::string& disk) {
    stack::Probe& probe = *disks_.at(disk).probe;
    std::vector<Sector> sectors(probe.limits().size_sectors);
    for (std::size_t i = 0; i < sectors.size(); ++i) {
        const dmcore::Segment segment{sectors[i].data(), sectors[i].size()};
        dmcore::Bio bio;
        bio.op = Op::read;
        bio.iter = {i, sector_bytes, 0, 0};
        bio.segments = &segment;
        probe.store->run(bio);
    }
    return sectors;
}

}  // namespace golden
