#include <string>
#include <string_view>

#include "config/diagnostic.h"
#include "config/values.h"

namespace config {
namespace {

ValueError bad_reference(std::string_view text) {
    return {"bad-variable", "in " + in_quotes(text) + " a '$' begins no variable",
            "write ${NAME}, ${NAME:-default} or ${NAME:?why}, and $$ for a dollar"};
}

bool is_variable_name(std::string_view name) {
    const auto legal = [](char letter, bool first) {
        return letter == '_' || (letter >= 'A' && letter <= 'Z') ||
               (letter >= 'a' && letter <= 'z') || (!first && letter >= '0' && letter <= '9');
    };
    if (name.empty() || !legal(name.front(), true)) return false;
    for (const char letter : name) {
        if (!legal(letter, false)) return false;
    }
    return true;
}

/// The value of what stands between the braces. As in a shell, `:-` and `:?` take an empty value
/// for an unset one.
Value<std::string> resolve(std::string_view inside, const Variable& variable) {
    const std::size_t colon = inside.find(':');
    const std::string name(inside.substr(0, colon));
    const std::string_view rest =
        colon == std::string_view::npos ? std::string_view() : inside.substr(colon);
    const bool known_form = rest.empty() || rest.starts_with(":-") || rest.starts_with(":?");
    if (!is_variable_name(name) || !known_form) {
        return tl::unexpected(bad_reference("${" + std::string(inside) + "}"));
    }
    const auto value = variable(name);
    if (value && (rest.empty() || !value->empty())) return *value;
    if (rest.starts_with(":-")) return std::string(rest.substr(2));
    const std::string help = "set it, or write ${" + name + ":-default}";
    if (rest.size() > 2) {
        return tl::unexpected(
            ValueError{"variable-unset",
                       "variable '" + name + "' is not set: " + std::string(rest.substr(2)), help});
    }
    return tl::unexpected(
        ValueError{"variable-unset", "variable " + in_quotes(name) + " is not set", help});
}

}  // namespace

Value<std::string> expand_variables(std::string_view text, const Variable& variable) {
    std::string result;
    while (true) {
        const std::size_t dollar = text.find('$');
        result += text.substr(0, dollar);
        if (dollar == std::string_view::npos) return result;
        const std::string_view from = text.substr(dollar);
        text = from;
        if (from.starts_with("$$")) {
            result += '$';
            text.remove_prefix(2);
            continue;
        }
        const std::size_t end = from.find('}');
        if (!from.starts_with("${") || end == std::string_view::npos) {
            return tl::unexpected(bad_reference(from));
        }
        auto value = resolve(from.substr(2, end - 2), variable);
        if (!value) return tl::unexpected(value.error());
        result += *value;
        text.remove_prefix(end + 1);
    }
}

}  // namespace config
