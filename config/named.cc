#include "config/named.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "config/values.h"

namespace config {
namespace {

using dmcore::ArgSpec;
using dmcore::FeatureSpec;

std::optional<std::uint64_t> plain_number(const std::string& word) {
    const auto number = parse_count(word, UINT64_MAX);
    return number ? std::optional(*number) : std::nullopt;
}

/// Turns words back into what a table file says, in the order of the target's arguments. Any word
/// that is not as NamedArguments of arguments.cc would write it makes it give up.
class WordReader {
  public:
    WordReader(const dmcore::TargetType& type, std::span<const std::string> words)
        : type_(type), words_(words) {}

    std::optional<std::vector<NamedArgument>> read() {
        for (const ArgSpec& spec : type_.args) {
            if (spec.group > 0 && words_.empty()) continue;
            read_one(spec);
            if (!good_) return std::nullopt;
        }
        if (!words_.empty()) return std::nullopt;
        return std::move(named_);
    }

  private:
    void read_one(const ArgSpec& spec) {
        switch (spec.kind) {
            case ArgSpec::Kind::devices_count: devices_ = number().value_or(0); return;
            case ArgSpec::Kind::devices: return add(spec, devices());
            case ArgSpec::Kind::features: return add_unless_empty(spec, features());
            case ArgSpec::Kind::flag:
                if (take_name(spec)) add(spec, "true");
                return;
            case ArgSpec::Kind::ranges:
                if (take_name(spec)) add(spec, ranges(take()));
                return;
            default: break;
        }
        const std::string word = take();
        // What a group may leave out it may not leave out alone: words would shift.
        if (word == spec.if_absent && spec.group == 0) return;
        add(spec, value(spec.kind, word));
    }

    std::string value(ArgSpec::Kind kind, const std::string& word) {
        switch (kind) {
            case ArgSpec::Kind::sectors: return sectors(word);
            case ArgSpec::Kind::bytes: return size_text(plain(word));
            case ArgSpec::Kind::milliseconds: return std::to_string(plain(word)) + "ms";
            case ArgSpec::Kind::seconds: return seconds(word);
            case ArgSpec::Kind::count: return std::to_string(plain(word));
            case ArgSpec::Kind::device: return name_text(word);
            default: return word;
        }
    }

    std::string sectors(const std::string& word) { return sectors_text(plain(word)); }

    /// A target takes longer ones than a table file.
    std::string seconds(const std::string& word) {
        const bool ms = word.ends_with("ms");
        const std::uint64_t number = plain(ms ? word.substr(0, word.size() - 2) : word);
        std::string text =
            ms ? std::to_string(number) + "ms"
               : duration_text(std::chrono::seconds(std::min<std::uint64_t>(number, UINT32_MAX)));
        good_ = good_ && parse_duration(text).has_value();
        return text;
    }

    std::string devices() {
        std::string list;
        for (; devices_ > 0 && good_; --devices_) {
            const std::string device = name_text(take());
            const std::string offset = take();
            if (!list.empty()) list += ", ";
            list += offset == "0" ? device
                                  : "{ device: " + device + ", offset: " + sectors(offset) + " }";
        }
        return '[' + list + ']';
    }

    std::string features() {
        const std::uint64_t count = number().value_or(0);
        if (count > words_.size()) good_ = false;
        std::string list;
        for (const std::size_t end = words_.size() - count; good_ && words_.size() > end;) {
            list += (list.empty() ? "" : ", ") + feature();
        }
        return list.empty() ? list : '[' + list + ']';
    }

    std::string feature() {
        std::string name = take();
        const auto spec = std::ranges::find(type_.features, name, &FeatureSpec::name);
        if (spec == type_.features.end()) {
            good_ = false;
            return {};
        }
        if (spec->rate) return "{ " + name + ": " + rate(take()) + " }";
        if (spec->values.empty()) return name;
        std::string values;
        for (const std::string_view value : spec->values) {
            values += (values.empty() ? "" : ", ") + std::string(value) + ": " + take();
        }
        return "{ " + name + ": { " + values + " } }";
    }

    /// 10^-9 as the shortest percentage.
    std::string rate(const std::string& word) {
        constexpr std::uint64_t percent = 10'000'000;
        const std::uint64_t rate = plain(word);
        std::string text = std::to_string(rate / percent);
        if (const std::uint64_t rest = rate % percent; rest != 0) {
            std::string digits = std::to_string(percent + rest).substr(1);
            digits.erase(digits.find_last_not_of('0') + 1);
            text += '.' + digits;
        }
        return text + '%';
    }

    static std::string ranges(std::string list) {
        for (std::size_t at = 0; (at = list.find(',', at)) != std::string::npos; at += 2) {
            list.insert(at + 1, " ");
        }
        return '[' + list + ']';
    }

    std::string take() {
        if (words_.empty()) {
            good_ = false;
            return {};
        }
        std::string word = words_.front();
        words_ = words_.subspan(1);
        return word;
    }

    bool take_name(const ArgSpec& spec) {
        if (words_.empty() || words_.front() != spec.name) return false;
        take();
        return true;
    }

    std::uint64_t plain(const std::string& word) {
        const auto number = plain_number(word);
        good_ = good_ && number.has_value();
        return number.value_or(0);
    }
    std::optional<std::uint64_t> number() { return plain(take()); }

    void add(const ArgSpec& spec, std::string text) {
        named_.push_back({spec.name, std::move(text)});
    }
    void add_unless_empty(const ArgSpec& spec, std::string text) {
        if (!text.empty()) add(spec, std::move(text));
    }

    const dmcore::TargetType& type_;
    std::span<const std::string> words_;
    std::vector<NamedArgument> named_;
    std::uint64_t devices_ = 0;
    bool good_ = true;
};

}  // namespace

std::optional<std::vector<NamedArgument>> named_arguments(const dmcore::TargetType& type,
                                                          const std::vector<std::string>& words) {
    return WordReader(type, words).read();
}

}  // namespace config
