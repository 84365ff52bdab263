#include "golden/replay.h"

#include <algorithm>

#include "golden/choices.h"

namespace golden {
namespace {

/// The error of an event as text: empty for null.
std::string error_of(const Event& event) {
    const Json& error = event.json.at("err");
    return error.is_null() ? "" : error.get<std::string>();
}

std::string subject(const Event& event) {
    std::string text = event.kind();
    if (event.json.contains("io")) text += ' ' + std::to_string(event.json.at("io").get<int>());
    if (event.json.contains("op")) text += ' ' + event.json.at("op").get<std::string>();
    if (event.json.contains("dev")) text += " of " + event.device();
    return text;
}

/// Lines as dmsetup prints them, parted by " / ", without what no reader sees.
std::string lines_of(const Json& lines) {
    std::string text;
    for (std::string line : lines) {
        std::erase(line, '@');
        line.erase(line.find_last_not_of(' ') + 1);
        text += (text.empty() ? "" : " / ") + line;
    }
    return text;
}

std::string lines_of(const std::string& text) {
    std::istringstream stream(text);
    Json lines = Json::array();
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines_of(lines);
}

std::string yes_or_no(bool value) {
    return value ? "yes" : "no";
}

}  // namespace

std::vector<Difference> Replay::run() {
    for (std::size_t i = 0; i < events_.size(); ++i) take(i);
    images();
    return std::move(found_);
}

void Replay::take(std::size_t index) {
    const Event& event = events_[index];
    const std::string kind = event.kind();
    if (event.json.contains("t") && event.json.at("t").is_number()) {
        machine_.pass_to(event.json.at("t"));
    }
    if (kind == "back") {
        const std::uint64_t sectors = event.json.at("sectors");
        machine_.add_disk(event.device(), sectors, event.json.at("bs"));
        for (std::uint64_t i = 0; i < sectors; ++i) {
            images_[event.device()].push_back(background(event.device().at(0), i));
        }
    } else if (kind == "create") {
        create(index);
    } else if (kind == "load") {
        load(index);
    } else if (kind == "suspend") {
        machine_.suspend(event.device());
    } else if (kind == "resume") {
        resume(event);
    } else if (kind == "rm") {
        compare_error(event, machine_.remove(event.device()));
    } else if (kind == "msg") {
        message(event);
    } else if (kind == "table") {
        text(event, machine_.table_text(event.device()));
    } else if (kind == "status") {
        text(event, machine_.status_text(event.device()));
    } else if (kind == "limits") {
        limits(event);
    } else if (kind == "io") {
        io(event);
    } else if (kind == "stat") {
        statistics(event);
    } else if (kind == "layout") {
        layout(event);
    } else if (kind != "meta" && kind != "case" && kind != "sum" && kind != "end") {
        // A sum says nothing that the layout and the background don't.
        throw std::runtime_error("line " + std::to_string(event.line) + ": no event '" + kind +
                                 "'");
    }
}

/// The recorder's create line does not say it; the limits that follow do.
bool Replay::is_read_only(std::size_t index) const {
    const std::string name = events_[index].device();
    for (std::size_t i = index + 1; i < events_.size(); ++i) {
        if (events_[i].kind() == "limits" && events_[i].device() == name) {
            return events_[i].json.at("ro") != 0;
        }
    }
    return false;
}

void Replay::create(std::size_t index) {
    const Event& event = events_[index];
    if (event.json.contains("t")) {  // flakey's clock starts somewhere in there [F-9].
        const std::uint64_t before = event.json.at("t").at(0);
        const std::uint64_t after = event.json.at("t").at(1);
        machine_.pass_to((before + after) / 2);
    }
    compare_error(event,
                  machine_.create(event.device(), event.json.at("rows"), is_read_only(index)));
    if (machine_.has_device(event.device())) {
        counters_[event.device()] = machine_.counters(event.device());
    }
}

/// Does the next resume of the device fail in the recording?
bool Replay::refused_at_resume(std::size_t index) const {
    const std::string name = events_[index].device();
    for (std::size_t i = index + 1; i < events_.size(); ++i) {
        if (events_[i].kind() == "resume" && events_[i].device() == name) {
            return error_of(events_[i]) == "EINVAL";
        }
    }
    return false;
}

void Replay::load(std::size_t index) {
    const Event& event = events_[index];
    const std::string ours = machine_.load(event.device(), event.json.at("rows"));
    if (error_of(event).empty() && ours == "EINVAL" && refused_at_resume(index)) {
        refused_.insert(event.device());
        choose("D-4");
        return;
    }
    compare_error(event, ours);
}

void Replay::resume(const Event& event) {
    if (refused_.erase(event.device()) != 0) return machine_.suspend(event.device());
    machine_.resume(event.device());
    compare_error(event, "");
}

void Replay::message(const Event& event) {
    std::vector<std::string> answer;
    compare_error(event, machine_.message(event.device(), event.json.at("sec"),
                                          event.json.at("words"), answer));
    compare(event, "answer", lines_of(event.json.value("out", Json::array())),
            lines_of(Json(answer)));
}

void Replay::text(const Event& event, const std::string& ours) {
    compare(event, event.json.at("when"), lines_of(event.json.at("lines")), lines_of(ours));
}

void Replay::limits(const Event& event) {
    const std::string name = event.device();
    const Json& kernel = event.json;
    machine_.zeroing(name, kernel.at("write_zeroes_max_bytes") != 0, kernel.at("chunk_sectors"));
    machine_.discarding(name, kernel.at("discard_granularity").get<std::uint64_t>() / 512);
    if (machine_.is_disk(name)) return machine_.shape_disk(name, kernel);
    if (!machine_.has_device(name)) return compare(event, "device", "there", "not there");
    const dmcore::Limits& ours = machine_.limits(name);
    const auto number = [&](const char* key, std::uint64_t value) {
        compare(event, key, kernel.at(key).dump(), std::to_string(value));
    };
    number("sectors", ours.size_sectors);
    number("ro", ours.read_only ? 1 : 0);
    number("logical_block_size", ours.logical_block_bytes);
    number("minimum_io_size", ours.io_min_bytes);
    number("optimal_io_size", ours.io_opt_bytes);
    compare(event, "write cache", yes_or_no(kernel.at("write_cache") == "write back"),
            yes_or_no(ours.write_cache));
    compare(event, "discard", yes_or_no(kernel.at("discard_max_bytes") != 0),
            yes_or_no(ours.discard));
}

void Replay::io(const Event& event) {
    std::string at;
    const std::string obstacle = machine_.obstacle(event.device(), at);
    if (!obstacle.empty()) {
        compare_error(event, obstacle);
        return compare(event, "at", event.json.value("at", at), at);
    }
    const bool disk = machine_.is_disk(event.device());
    const Counters before = disk ? Counters() : machine_.counters(event.device());
    const IoResult result = machine_.io(event);
    compare_error(event, result.error);
    if (event.json.contains("sectors")) {
        compare(event, "sectors", event.json.at("sectors").dump(), std::to_string(result.sectors));
    }
    // The kernel may wait longer than a delay target says, and up to a tick less [D1-2].
    constexpr std::uint64_t tick_ms = 4;
    if (event.json.contains("ms") &&
        event.json.at("ms").get<std::uint64_t>() + tick_ms < result.took_ms) {
        compare(event, "ms", event.json.at("ms").dump(), std::to_string(result.took_ms));
    }
    if (!disk && event.json.contains("stat")) {
        Counters change = machine_.counters(event.device());
        for (auto& [key, value] : change) value -= before.at(key);
        compare_counters(event, event.json.at("stat"), change);
    }
    if (event.json.contains("data") && result.error.empty()) read_data(event, result);
}

void Replay::read_data(const Event& event, const IoResult& result) {
    std::size_t compared = 0;
    for (const Json& run : event.json.at("data")) {
        std::size_t at = run.at("at");
        for (const Sector& kernel : sectors_of(run)) {
            const bool there = at < result.data.size();
            if (!there || kernel != result.data[at]) {
                return compare(event, "data, sector " + std::to_string(at), describe(kernel),
                               there ? describe(result.data[at]) : "not read");
            }
            ++at;
            ++compared;
        }
    }
    compare(event, "sectors of data", std::to_string(compared), std::to_string(result.data.size()));
}

void Replay::statistics(const Event& event) {
    const std::string name = event.device();
    if (!machine_.is_disk(name) && !machine_.has_device(name)) {
        return compare(event, "device", "there", "not there");
    }
    Counters ours = machine_.counters(name);
    for (auto& [key, value] : ours) value -= counters_[name][key];
    if (const std::uint64_t forwarded = machine_.forwarded_flushes(name); forwarded != 0) {
        ours["wr_ios"] -= forwarded;
        choose("D-7");
    }
    compare_counters(event, event.json.at("total"), ours);
}

/// Of a disk, only the sectors are the same in all recordings: how they come depends on merging.
void Replay::compare_counters(const Event& event, const Json& kernel, const Counters& ours) {
    for (const auto& [key, value] : ours) {
        compare(event, key, std::to_string(kernel.value(key, std::uint64_t{0})),
                std::to_string(value));
    }
}

void Replay::layout(const Event& event) {
    std::uint64_t at = event.json.at("sec");
    for (const Sector& sector : sectors_of(event.json)) {
        images_.at(event.device()).at(at++) = sector;
    }
}

/// Every sector of every disk, those that must still be background included.
void Replay::images() {
    const Event& last = events_.back();
    for (const auto& [disk, kernel] : images_) {
        const std::vector<Sector> ours = machine_.image(disk);
        const auto [left, right] = std::mismatch(kernel.begin(), kernel.end(), ours.begin());
        if (left == kernel.end()) continue;
        compare(last, "disk " + disk + ", sector " + std::to_string(left - kernel.begin()),
                describe(*left), describe(*right));
    }
}

/// Lets a difference pass, if it is one of choices.h.
void Replay::choose(std::string_view id) {
    if (std::ranges::find(choices, id, &Choice::id) == std::end(choices)) {
        throw std::logic_error(std::string(id) + " is no choice of choices.h");
    }
    chosen_.emplace(id);
}

void Replay::compare(const Event& event, const std::string& what, const std::string& kernel,
                     const std::string& ours) {
    if (kernel == ours) return;
    found_.push_back({event.line, subject(event) + ": " + what, kernel, ours});
}

void Replay::compare_error(const Event& event, const std::string& ours) {
    const std::string kernel = error_of(event);
    compare(event, "error", kernel.empty() ? "none" : kernel, ours.empty() ? "none" : ours);
}

}  // namespace golden
