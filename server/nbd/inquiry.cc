#include "server/nbd/inquiry.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace server::nbd {
namespace {

using dmcore::Place;
using dmcore::sector_bytes;

/// x-dmnbd:map: the row in the lower 16 bits, the store in 15, the rest is whether it fails now.
constexpr std::size_t row_max = 0xffff;
constexpr std::size_t store_max = 0x7fff;
constexpr unsigned store_shift = 16;
constexpr std::uint32_t failing_bit = 1U << 31;

std::uint32_t store_number(const dmcore::StoreWalk& walk, const dmcore::BlockDevice* store) {
    const auto found = std::ranges::find(walk.stores(), store, &dmcore::StoreWalk::Found::store);
    if (found == walk.stores().end()) return 0;
    const auto index = static_cast<std::size_t>(found - walk.stores().begin());
    return static_cast<std::uint32_t>(std::min(index + 1, store_max));
}

template <WireType T>
void write(std::byte*& out, const T& value) noexcept {
    std::memcpy(out, &value, sizeof value);
    out += sizeof value;
}

/// A compact request is for less than 4 GiB, so each of its extents fits 32 bits.
template <class Extents>
void write_chunk(const ReplyTo& to, std::uint32_t context, const Extents& extents, Last last,
                 std::byte*& out) noexcept {
    const bool wide = to.form == Form::extended;
    const std::size_t head_bytes = wide ? sizeof(ExtendedBlockStatus) : sizeof(be32);
    const std::size_t each_bytes = wide ? sizeof(ExtendedBlockState) : sizeof(BlockState);
    const ReplyHead head =
        chunk_head(to, wide ? ChunkType::block_status_extended : ChunkType::block_status,
                   head_bytes + extents.size() * each_bytes, last);
    std::memcpy(out, head.bytes().data(), head.bytes().size());
    out += head.bytes().size();
    write(out, be32(context));
    if (wide) write(out, be32(static_cast<std::uint32_t>(extents.size())));
    for (const auto& extent : extents) {
        const std::uint64_t bytes = extent.sectors * sector_bytes;
        if (wide) {
            write(out, ExtendedBlockState{bytes, std::uint64_t{extent.state}});
        } else {
            write(out, BlockState{static_cast<std::uint32_t>(bytes), extent.state});
        }
    }
}

}  // namespace

void Inquiry::begin(dmcore::Lane& lane, const Request& request, MetaContexts contexts,
                    std::span<std::byte> room, const Owner& owner) noexcept {
    lane_ = &lane;
    owner_.emplace(owner);
    prefetches_ = request.command == Command::cache;
    one_extent_ = request.req_one;
    contexts_ = contexts;
    first_sector_ = sector_ = request.offset_bytes / sector_bytes;
    end_ = sector_ + request.length_bytes / sector_bytes;
    places_ = questions_ = 0;
    room_ = room;
    auto* const lists = reinterpret_cast<Extent*>(room.data());
    allocation_ = {lists, 0};
    map_ = {lists + extents_max, 0};
    go_on();
}

void Inquiry::go_on() noexcept {
    Step step = prefetches_ || has(MetaContext::allocation) ? Step::on : Step::enough;
    while (step == Step::on && sector_ < end_ && places_ < places_max && !owner_->origin.dead) {
        step = prefetches_ ? prefetch() : learn();
    }
    if (step == Step::asked) return;
    if (has(MetaContext::map)) map();
    end();
}

Inquiry::Step Inquiry::prefetch() noexcept {
    const Place place = locate(sector_);
    sector_ += place.sectors;
    return place.device == nullptr ? Step::on : ask(place);
}

Inquiry::Step Inquiry::learn() noexcept {
    const Place place = locate(sector_);
    const std::optional<Extent> known = look_up(place);
    if (!known) return ask(place);
    if (!add(allocation_, *known)) return Step::enough;
    sector_ += known->sectors;
    return Step::on;
}

/// About all that may lie there of what is still to come, for a stripe comes back to each store.
Inquiry::Step Inquiry::ask(const Place& place) noexcept {
    if (questions_++ == questions_max) return Step::enough;
    Answer& answer = answers_[next_answer_];
    next_answer_ = (next_answer_ + 1) % answers_.size();
    const std::uint64_t size = place.device->limits().size_sectors;
    answer.ask(place.sector,
               prefetches_ ? place.sectors : std::min(end_ - sector_, size - place.sector));
    answer.store = place.device;
    answer.keep = place.keep;
    answer.first_sector = place.sector;
    if (prefetches_) answer.op = dmcore::Op::prefetch;
    answer.owner = this;
    answer.agenda = &owner_->agenda;
    answer.done = [](dmcore::Bio& bio) noexcept { static_cast<Inquiry*>(bio.owner)->go_on(); };
    place.device->submit(answer);
    return Step::asked;
}

Place Inquiry::locate(std::uint64_t sector) noexcept {
    ++places_;
    Place place;
    place.sector = sector;
    place.sectors = end_ - sector;
    lane_->locate(place);
    return place;
}

/// Nothing: its store is to be asked.
std::optional<Inquiry::Extent> Inquiry::look_up(const Place& place) const noexcept {
    if (place.device == nullptr || place.failing) {
        return Extent{place.sectors, place.zero ? state_hole | state_zero : 0};
    }
    for (const Answer& answer : answers_) {
        if (answer.store != place.device || answer.first_sector > place.sector) continue;
        if (answer.count == 0 && answer.first_sector == place.sector)
            return Extent{place.sectors, 0};
        std::uint64_t end = answer.first_sector;
        for (std::size_t i = 0; i < answer.count; ++i) {
            const auto& extent = answer.extents[i];
            end += extent.sectors;
            if (end <= place.sector) continue;
            return Extent{std::min(end - place.sector, place.sectors),
                          (extent.hole ? state_hole : 0) | (extent.zero ? state_zero : 0)};
        }
    }
    return std::nullopt;
}

/// False: there is no room for it.
bool Inquiry::add(Extents& extents, const Extent& extent) const noexcept {
    if (extents.count > 0 && extents.first[extents.count - 1].state == extent.state) {
        extents.first[extents.count - 1].sectors += extent.sectors;
        return true;
    }
    if (extents.count == (one_extent_ ? 1 : extents_max)) return false;
    new (&extents.first[extents.count++]) Extent(extent);
    return true;
}

void Inquiry::map() {
    dmcore::StoreWalk walk(dmcore::StoreWalk::Of::live);
    walk.visit(*lane_, nullptr);
    places_ = 0;
    for (std::uint64_t sector = first_sector_; sector < end_ && places_ < places_max;) {
        const Place place = locate(sector);
        const auto row = static_cast<std::uint32_t>(std::min(place.row, row_max));
        const std::uint32_t store = store_number(walk, place.device);
        const std::uint32_t failing = place.failing ? failing_bit : 0;
        if (!add(map_, {place.sectors, failing | store << store_shift | row})) return;
        sector += place.sectors;
    }
}

/// The stores may go now, as far as this is concerned.
void Inquiry::end() noexcept {
    for (Answer& answer : answers_) {
        answer.store = nullptr;
        answer.keep = nullptr;
    }
    owner_->done(owner_->owner);
}

std::span<const std::byte> Inquiry::reply(const ReplyTo& to) const noexcept {
    std::byte* const begin = room_.data() + lists_bytes;
    std::byte* out = begin;
    for (const MetaContext context : {MetaContext::allocation, MetaContext::map}) {
        if (!has(context)) continue;
        const Extents& extents = context == MetaContext::allocation ? allocation_ : map_;
        const bool last = (contexts_ >> static_cast<unsigned>(context)) == 1;
        write_chunk(to, number_of(context), extents.all(), last ? Last::yes : Last::no, out);
    }
    return {begin, out};
}

}  // namespace server::nbd
