#include "server/replay/log_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

namespace server::replay {

namespace lf = dmcore::log_format;

namespace {

constexpr std::uint32_t block_bytes_min = 512;
constexpr std::uint32_t block_bytes_max = 65536;
constexpr std::uint64_t device_bytes_max = 1ULL << 63;
constexpr std::uint64_t known_flags = lf::flush | lf::fua | lf::discard | lf::mark | lf::metadata;

}  // namespace

File::File(std::string path, bool writable)
    : path_(std::move(path)),
      descriptor_(::open(path_.c_str(), (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC)) {
    if (descriptor_ < 0) fail("can't open");
    const off_t end = ::lseek(descriptor_, 0, SEEK_END);
    if (end < 0) {
        const int error = errno;
        ::close(descriptor_);
        errno = error;
        fail("can't tell the size of");
    }
    size_bytes_ = static_cast<std::uint64_t>(end);
}

File::~File() {
    ::close(descriptor_);
}

void File::fail(const char* what) const {
    throw ReplayError(std::string(what) + " '" + path_ + "': " + std::strerror(errno));
}

void File::read(std::uint64_t at, std::span<std::byte> to) const {
    while (!to.empty()) {
        const ssize_t got = ::pread(descriptor_, to.data(), to.size(), static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = ENODATA;
        if (got <= 0) fail("can't read");
        at += static_cast<std::uint64_t>(got);
        to = to.subspan(static_cast<std::size_t>(got));
    }
}

void File::write(std::uint64_t at, std::span<const std::byte> from) {
    while (!from.empty()) {
        const ssize_t put = ::pwrite(descriptor_, from.data(), from.size(), static_cast<off_t>(at));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) fail("can't write to");
        at += static_cast<std::uint64_t>(put);
        from = from.subspan(static_cast<std::size_t>(put));
    }
}

void File::zero(std::uint64_t at, std::uint64_t bytes) {
    if (bytes == 0) return;
    if (::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                    static_cast<off_t>(bytes)) == 0) {
        return;
    }
    const std::vector<std::byte> zeroes(std::min<std::uint64_t>(bytes, 1U << 20));
    while (bytes > 0) {
        const std::uint64_t step = std::min<std::uint64_t>(bytes, zeroes.size());
        write(at, std::span(zeroes).first(step));
        at += step;
        bytes -= step;
    }
}

void File::sync() {
    if (::fdatasync(descriptor_) != 0) fail("can't sync");
}

LogReader::LogReader(const std::string& path) : file_(path, false) {
    std::array<std::byte, lf::super_bytes> bytes{};
    if (file_.size_bytes() < bytes.size()) fail("is no log of log-writes: it is too short");
    file_.read(0, bytes);
    super_ = lf::get_super(bytes.data());
    if (super_.magic != lf::magic) fail("is no log of log-writes: its magic number is missing");
    if (super_.version != lf::version) {
        fail("has version " + std::to_string(super_.version) + "; only version " +
             std::to_string(lf::version) + " is known");
    }
    if (!std::has_single_bit(super_.block_bytes) || super_.block_bytes < block_bytes_min ||
        super_.block_bytes > block_bytes_max) {
        fail("is damaged: blocks of " + std::to_string(super_.block_bytes) + " bytes");
    }
    at_ = super_.block_bytes;
}

void LogReader::fail(const std::string& what) const {
    throw ReplayError("'" + file_.path() + "' " + what);
}

std::optional<Entry> LogReader::next() {
    if (number_ == super_.entries) return {};
    const std::uint64_t size = file_.size_bytes();
    const std::uint64_t block = super_.block_bytes;
    const std::string name = "entry " + std::to_string(number_);
    const auto cut = [&] {
        fail("is truncated: it ends in " + name + " of " + std::to_string(super_.entries));
    };
    if (size < block || at_ > size - block) cut();
    std::vector<std::byte> bytes(block);
    file_.read(at_, bytes);
    const lf::Header header = lf::get_header(bytes.data());
    const bool is_mark = (header.flags & lf::mark) != 0;
    if ((header.flags & ~known_flags) != 0 || (header.flags == 0 && header.blocks == 0) ||
        header.text_bytes > block - lf::header_bytes || (!is_mark && header.text_bytes != 0) ||
        header.block > device_bytes_max / block ||
        header.blocks > device_bytes_max / block - header.block) {
        fail("is damaged: " + name + " makes no sense");
    }
    Entry entry;
    entry.number = number_;
    entry.flags = header.flags;
    entry.at = header.block * block;
    entry.bytes = header.blocks * block;
    entry.data_at = at_ + block;
    const auto* text = reinterpret_cast<const char*>(bytes.data() + lf::header_bytes);
    entry.mark.assign(text, header.text_bytes);
    const std::uint64_t data_bytes = header.data_blocks() * block;
    if (data_bytes > size - entry.data_at) cut();
    at_ = entry.data_at + data_bytes;
    ++number_;
    return entry;
}

}  // namespace server::replay
