#include "server/cli/input.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

#include "config/diagnostic.h"
#include "server/cli/exit.h"
#include "server/control/limits.h"

namespace server::cli {
namespace {

std::string read_all(std::istream& from) {
    std::string text;
    char buffer[65536];
    while (text.size() <= control::limits::table_bytes_max &&
           (from.read(buffer, sizeof buffer), from.gcount() > 0)) {
        text.append(buffer, static_cast<std::size_t>(from.gcount()));
    }
    return text;
}

std::string checked(std::string text) {
    if (text.size() <= control::limits::table_bytes_max) return text;
    throw Failure(exits::failed, "a table has at most 16MiB");
}

}  // namespace

std::string read_table(const std::string& file) {
    if (file == "-") return checked(read_all(std::cin));
    std::ifstream stream(file, std::ios::binary);
    std::string text = stream ? read_all(stream) : "";
    if (!stream.is_open() || stream.bad()) {
        throw Failure(exits::failed,
                      "can't read " + config::in_quotes(file) + ": " + std::strerror(errno));
    }
    return checked(std::move(text));
}

}  // namespace server::cli
