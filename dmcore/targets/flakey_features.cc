#include "dmcore/targets/flakey_features.h"

namespace dmcore {
namespace {

constexpr std::uint64_t words_max = 11;
constexpr std::uint32_t fua_flag = 1U << 17;  // As the kernel numbers it [F-18].

FlakeyFeatures::CorruptByte corrupt_byte_at(const TargetArgs& args, std::size_t at) {
    FlakeyFeatures::CorruptByte byte;
    byte.nth = static_cast<std::uint32_t>(args.number(at, "corrupt_bio_byte's nth", UINT32_MAX));
    if (byte.nth == 0) args.fail("bad-number", "bytes count from 1", static_cast<int>(at));
    const std::string direction = lower_case(args.word(at + 1));
    if (direction != "r" && direction != "w") {
        args.fail("bad-feature",
                  "corrupt_bio_byte's dir is r or w, not '" + args.word(at + 1) + "'",
                  static_cast<int>(at + 1));
    }
    byte.write = direction == "w";
    byte.value = static_cast<std::uint8_t>(args.number(at + 2, "corrupt_bio_byte's value", 255));
    byte.flags =
        static_cast<std::uint32_t>(args.number(at + 3, "corrupt_bio_byte's flags", UINT32_MAX));
    return byte;
}

}  // namespace

bool FlakeyFeatures::CorruptByte::matches(const Bio& bio) const noexcept {
    return (flags & ~(bio.fua ? fua_flag : 0U)) == 0;
}

FlakeyFeatures::FlakeyFeatures(const TargetArgs& args, std::size_t first) {
    if (args.count() > first) {
        const std::uint64_t count = args.number(first, "the number of feature words", words_max);
        const std::size_t end = first + 1 + count;
        if (end > args.count()) {
            args.fail("bad-feature",
                      std::to_string(count) + " feature words are announced, " +
                          std::to_string(args.count() - first - 1) + " follow",
                      static_cast<int>(first));
        }
        // Words behind the group are ignored, as in dm [F-7].
        for (std::size_t at = first + 1; at < end;) at = read_one(args, at, end);
        check(args, first);
    }
    const bool nothing =
        !error_reads && !drop_writes && !error_writes && !corrupts_reads() && !corrupts_writes();
    if (nothing) error_reads = error_writes = true;  // [F-1]
}

void FlakeyFeatures::set_once(const TargetArgs& args, bool& flag, std::size_t at) const {
    if (flag) {  // [F-2]
        args.fail("bad-feature", "'" + args.word(at) + "' is given twice", static_cast<int>(at));
    }
    flag = true;
}

/// Reads the feature at word `at`; returns where the next one begins.
std::size_t FlakeyFeatures::read_one(const TargetArgs& args, std::size_t at, std::size_t end) {
    const std::string name = lower_case(args.word(at));
    const auto needs = [&](std::size_t words) {
        if (at + words >= end) {
            args.fail("bad-feature",
                      "'" + args.word(at) + "' needs " + std::to_string(words) +
                          (words == 1 ? " value" : " values"),
                      static_cast<int>(at));
        }
    };
    if (name == "error_reads") return set_once(args, error_reads, at), at + 1;
    if (name == "drop_writes") return set_once(args, drop_writes, at), at + 1;
    if (name == "error_writes") return set_once(args, error_writes, at), at + 1;
    if (name == "corrupt_bio_byte") {
        needs(4);
        corrupt_byte = corrupt_byte_at(args, at + 1);
        return at + 5;
    }
    if (name == "random_read_corrupt" || name == "random_write_corrupt") {
        needs(1);
        std::uint32_t& rate =
            name == "random_read_corrupt" ? random_read_corrupt : random_write_corrupt;
        rate = static_cast<std::uint32_t>(args.number(at + 1, name, always));
        return at + 2;
    }
    args.fail("unknown-feature", "flakey has no feature '" + args.word(at) + "'",
              static_cast<int>(at));
}

void FlakeyFeatures::check(const TargetArgs& args, std::size_t first) const {
    const int place = static_cast<int>(first);
    if (drop_writes && error_writes) {  // [F-3]
        args.fail("bad-feature", "drop_writes and error_writes exclude each other", place);
    }
    if ((drop_writes || error_writes) && corrupt_byte && corrupt_byte->write) {  // [F-4]
        args.fail("bad-feature", "writes that are dropped or failed can't also be corrupted",
                  place);
    }
}

std::string FlakeyFeatures::text() const {
    unsigned count = 0;
    std::string words;
    const auto add = [&](unsigned word_count, const std::string& text) {
        count += word_count;
        words += ' ' + text;
    };
    if (error_reads) add(1, "error_reads");
    if (drop_writes) add(1, "drop_writes");
    if (error_writes) add(1, "error_writes");
    if (corrupt_byte) {
        add(5, "corrupt_bio_byte " + std::to_string(corrupt_byte->nth) +
                   (corrupt_byte->write ? " w " : " r ") + std::to_string(corrupt_byte->value) +
                   ' ' + std::to_string(corrupt_byte->flags));
    }
    if (random_read_corrupt != 0) {
        add(2, "random_read_corrupt " + std::to_string(random_read_corrupt));
    }
    if (random_write_corrupt != 0) {
        add(2, "random_write_corrupt " + std::to_string(random_write_corrupt));
    }
    return std::to_string(count) + words;
}

}  // namespace dmcore
