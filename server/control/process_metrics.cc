// What every program tells of itself, by the names that client libraries of Prometheus use.
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "server/control/metrics.h"

namespace server::control {
namespace {

/// Of /proc/self/stat, counted from behind the name of the program, which may hold anything.
constexpr std::size_t utime = 11, stime = 12, start_time = 19, virtual_bytes = 20, rss_pages = 21;

std::vector<double> stat_fields() {
    std::string line;
    std::ifstream file("/proc/self/stat");
    std::getline(file, line);
    std::istringstream rest(line.substr(std::min(line.rfind(')') + 2, line.size())));
    std::vector<double> fields;
    for (std::string word; rest >> word;) fields.push_back(std::strtod(word.c_str(), nullptr));
    return fields;
}

/// In seconds since 1970.
double boot_time() {
    std::ifstream file("/proc/stat");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("btime ")) return std::strtod(line.c_str() + 6, nullptr);
    }
    return 0;
}

std::ptrdiff_t open_descriptors() {
    std::error_code error;
    const std::filesystem::directory_iterator all("/proc/self/fd", error);
    return error ? 0 : std::distance(begin(all), end(all));
}

}  // namespace

void put_process_metrics(Exposition& out) {
    const auto one = [&out](const char* name, const char* type, const char* help, double value) {
        out.begin(name, type, help);
        out.put({}, value);
    };
    const std::vector<double> fields = stat_fields();
    if (fields.size() <= rss_pages) return;
    const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
    rlimit descriptors{};
    ::getrlimit(RLIMIT_NOFILE, &descriptors);
    one("process_cpu_seconds_total", "counter", "CPU time of user and system.",
        (fields[utime] + fields[stime]) / ticks);
    one("process_open_fds", "gauge", "Open file descriptors.",
        static_cast<double>(open_descriptors()));
    one("process_max_fds", "gauge", "As many file descriptors may be open.",
        static_cast<double>(descriptors.rlim_cur));
    one("process_virtual_memory_bytes", "gauge", "Virtual memory.", fields[virtual_bytes]);
    one("process_resident_memory_bytes", "gauge", "Resident memory.",
        fields[rss_pages] * static_cast<double>(::sysconf(_SC_PAGESIZE)));
    one("process_start_time_seconds", "gauge", "When the program began, since 1970.",
        boot_time() + fields[start_time] / ticks);
}

}  // namespace server::control
