#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "dmcore/lane.h"
#include "dmcore/survey.h"
#include "server/nbd/export.h"
#include "server/nbd/reply.h"
#include "server/nbd/request.h"

namespace server::nbd {

/// One BLOCK_STATUS or CACHE on its way through a stack: finds place after place by the live table,
/// and asks the stores there, one at a time. Neither waits for a suspend nor fails: what nobody
/// knows may be data. On the session's shard.
class Inquiry : public dmcore::Link {
  public:
    static constexpr std::size_t extents_max = 1000;  // Of one reply and context...
    static constexpr std::size_t places_max = 4000;   // ...from so many places...
    static constexpr std::size_t questions_max = 64;  // ...and answers of stores.
    /// The memory that each needs beside itself.
    static constexpr std::size_t room_bytes = inquiry_room_bytes;

    /// Who is told at the end, which may come inside begin().
    struct Owner {
        void (*done)(void* owner) noexcept;
        void* owner;
        dmcore::Agenda& agenda;
        dmcore::Origin& origin;
    };

    /// A valid request for a range that is not empty. `contexts` are what a BLOCK_STATUS is about.
    /// `room` is borrowed, room_bytes long, and aligned as memory from an allocator is.
    void begin(dmcore::Lane& lane, const Request& request, MetaContexts contexts,
               std::span<std::byte> room, const Owner& owner) noexcept;

    /// A chunk for each context, by its number on the wire; at least one extent each. Lies in the
    /// room. After the end.
    std::span<const std::byte> reply(const ReplyTo& to) const noexcept;

  private:
    struct Extent {
        std::uint64_t sectors;
        std::uint32_t state;
    };
    struct Extents {
        Extent* first = nullptr;  // In the room, which has place for extents_max.
        std::size_t count = 0;

        std::span<const Extent> all() const noexcept { return {first, count}; }
    };
    /// What a store has said of a range. Parts of a stripe are asked for together.
    struct Answer : dmcore::Survey {
        dmcore::BlockDevice* store = nullptr;
        std::shared_ptr<void> keep;
        std::uint64_t first_sector = 0;
    };

    enum class Step : std::uint8_t { on, asked, enough };

    bool has(MetaContext context) const noexcept { return (contexts_ & bit_of(context)) != 0; }
    void go_on() noexcept;
    Step prefetch() noexcept;
    Step learn() noexcept;
    Step ask(const dmcore::Place& place) noexcept;
    dmcore::Place locate(std::uint64_t sector) noexcept;
    std::optional<Extent> look_up(const dmcore::Place& place) const noexcept;
    bool add(Extents& extents, const Extent& extent) const noexcept;
    void map();
    void end() noexcept;

    dmcore::Lane* lane_ = nullptr;
    std::optional<Owner> owner_;
    bool prefetches_ = false;
    bool one_extent_ = false;
    MetaContexts contexts_ = 0;
    std::uint64_t first_sector_ = 0;
    std::uint64_t sector_ = 0;  // What comes next...
    std::uint64_t end_ = 0;     // ...and where the range ends.
    std::size_t places_ = 0;
    std::size_t questions_ = 0;
    std::array<Answer, 4> answers_;
    std::size_t next_answer_ = 0;  // To be overwritten.
    std::span<std::byte> room_;
    Extents allocation_;
    Extents map_;

    /// The extents of both contexts, and behind them what is told of them.
    static constexpr std::size_t lists_bytes = 2 * extents_max * sizeof(Extent);
    static constexpr std::size_t reply_bytes_max =
        2 * (sizeof(ExtendedChunkHeader) + sizeof(ExtendedBlockStatus) +
             extents_max * sizeof(ExtendedBlockState));
    static_assert(lists_bytes + reply_bytes_max <= room_bytes);
};

static_assert(sizeof(Inquiry) <= inquiry_bytes);

}  // namespace server::nbd
