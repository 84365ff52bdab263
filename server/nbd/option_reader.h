#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "server/nbd/wire.h"

namespace server::nbd {

/// Reads the fields of one option's data front to back. Nothing is read past the end: a field that
/// does not fit is nullopt.
class OptionReader {
  public:
    /// `data` must outlive the reader and the texts it returns.
    explicit OptionReader(std::span<const std::byte> data) : rest_(data) {}

    std::optional<std::uint16_t> u16() { return number<be16, std::uint16_t>(); }
    std::optional<std::uint32_t> u32() { return number<be32, std::uint32_t>(); }

    /// A u32 length and as many bytes, which are not judged.
    std::optional<std::string_view> text() {
        const auto bytes = u32();
        if (!bytes || *bytes > rest_.size()) return std::nullopt;
        const auto text = rest_.first(*bytes);
        rest_ = rest_.subspan(*bytes);
        return std::string_view(reinterpret_cast<const char*>(text.data()), text.size());
    }

    std::size_t rest_bytes() const { return rest_.size(); }

  private:
    template <typename Wire, typename Host>
    std::optional<Host> number() {
        if (rest_.size() < sizeof(Wire)) return std::nullopt;
        const Host value = wire_read<Wire>(rest_);
        rest_ = rest_.subspan(sizeof(Wire));
        return value;
    }

    std::span<const std::byte> rest_;
};

}  // namespace server::nbd
