#include "fuzz/replies.h"

#include <set>

#include "fuzz/fuzz.h"
#include "server/nbd/wire.h"

namespace fuzz {
namespace {

using namespace server::nbd;

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

/// A chunk of either form.
struct Chunk {
    std::uint16_t flags;
    std::uint16_t type;
    std::string_view payload;
};

void check_error(std::uint32_t error) {
    static const std::set<std::uint32_t> known = {1, 5, 12, 22, 28, 75, 95, 108};
    must(known.contains(error), "an error is one of the protocol's");
}

class ReplyReader {
  public:
    ReplyReader(std::string_view said, const Requests& requests, Form form)
        : rest_(said), requests_(requests), form_(form) {}

    std::map<std::size_t, Answer> read(bool cut) {
        while (!rest_.empty()) {
            const std::string_view before = rest_;
            const bool whole = form_ == Form::simple       ? simple()
                               : form_ == Form::structured ? chunk<ChunkHeader>()
                                                           : chunk<ExtendedChunkHeader>();
            if (whole) continue;
            must(cut && before.size() == rest_.size(), "what is sent is whole");
            break;
        }
        return std::move(answers_);
    }

  private:
    /// Of a request that still has to be answered.
    Answer& answer(std::uint64_t cookie) {
        asked_ = requests_.find(cookie);
        must(asked_ != nullptr, "a reply has the cookie of a request");
        Answer& answer = answers_[static_cast<std::size_t>(asked_ - requests_.all.data())];
        must(!answer.complete, "a request is answered once");
        return answer;
    }

    /// False: it is not all there.
    bool simple() {
        if (rest_.size() < sizeof(SimpleReply)) return false;
        const auto header = wire_read<SimpleReply>(bytes_of(rest_));
        must(header.magic == simple_reply_magic, "a simple reply has its magic number");
        Answer& to = answer(header.cookie);
        const bool data = asked_->is(Command::read) && header.error == 0;
        const std::uint64_t bytes = data ? asked_->length_bytes : 0;
        if (rest_.size() - sizeof header < bytes) return false;
        rest_.remove_prefix(sizeof header);
        if (bytes > 0) to.data.push_back({asked_->offset_bytes, bytes, rest_.data()});
        rest_.remove_prefix(bytes);
        to.error = header.error;
        if (to.error != 0) check_error(to.error);
        to.complete = true;
        return true;
    }

    template <class Header>
    bool chunk() {
        if (rest_.size() < sizeof(Header)) return false;
        const auto header = wire_read<Header>(bytes_of(rest_));
        must(header.magic == Header{}.magic, "a chunk has its magic number");
        if (rest_.size() - sizeof header < header.payload_bytes) return false;
        Answer& to = answer(header.cookie);
        if constexpr (requires { header.offset_bytes; }) {
            must(header.offset_bytes == asked_->offset_bytes, "a chunk repeats the offset");
        }
        rest_.remove_prefix(sizeof header);
        take({header.flags, header.type, rest_.substr(0, header.payload_bytes)}, to);
        rest_.remove_prefix(header.payload_bytes);
        return true;
    }

    void take(const Chunk& chunk, Answer& to) {
        must((chunk.flags & ~chunk_flag_done) == 0, "a chunk has no flag but DONE");
        to.complete = (chunk.flags & chunk_flag_done) != 0;
        switch (static_cast<ChunkType>(chunk.type)) {
            case ChunkType::none:
                must(to.complete && chunk.payload.empty(), "NONE is empty and the last");
                break;
            case ChunkType::offset_data: return data(chunk.payload, to);
            case ChunkType::offset_hole: return hole(chunk.payload, to);
            case ChunkType::block_status: return status<be32, BlockState>(chunk.payload, to);
            case ChunkType::block_status_extended:
                return status<ExtendedBlockStatus, ExtendedBlockState>(chunk.payload, to);
            case ChunkType::error: return error(chunk.payload, to);
            default: must(false, "there is such a chunk");
        }
    }

    void data(std::string_view payload, Answer& to) {
        must(payload.size() > sizeof(OffsetData), "a chunk of data has some");
        const auto head = wire_read<OffsetData>(bytes_of(payload));
        payload.remove_prefix(sizeof head);
        add({head.offset_bytes, payload.size(), payload.data()}, to);
    }

    void hole(std::string_view payload, Answer& to) {
        must(payload.size() == sizeof(OffsetHole), "a hole is 12 bytes");
        const auto head = wire_read<OffsetHole>(bytes_of(payload));
        must(head.hole_bytes > 0, "a hole has a size");
        must(!asked_->has(command_flag_df), "with DF nothing is left out");
        add({head.offset_bytes, head.hole_bytes, nullptr}, to);
    }

    void add(const Answer::Piece& piece, Answer& to) {
        must(asked_->is(Command::read), "only a READ gets data");
        const std::uint64_t at = piece.offset_bytes - asked_->offset_bytes;
        must(piece.offset_bytes >= asked_->offset_bytes && at < asked_->length_bytes &&
                 piece.bytes <= asked_->length_bytes - at,
             "data lies inside of its request");
        must(to.data.empty() || !asked_->has(command_flag_df), "with DF it is one chunk");
        to.data.push_back(piece);
    }

    void error(std::string_view payload, Answer& to) {
        must(payload.size() >= sizeof(ErrorHead), "an error chunk has a number");
        const auto head = wire_read<ErrorHead>(bytes_of(payload));
        must(payload.size() == sizeof head + head.message_bytes, "an error's message fits");
        must(to.complete && to.data.empty(), "an error is all there is");
        must(is_printable(payload.substr(sizeof head)), "an error's message can be shown");
        check_error(head.error);
        to.error = head.error;
    }

    template <class Head, class State>
    void status(std::string_view payload, Answer& to) {
        must(asked_->is(Command::block_status), "only BLOCK_STATUS gets extents");
        must((form_ == Form::extended) == (sizeof(State) == 16), "extents have the form agreed on");
        must(payload.size() >= sizeof(Head) + sizeof(State), "there is at least one extent");
        const auto context = wire_read<be32>(bytes_of(payload));
        if constexpr (requires(Head head) { head.count; }) {
            const auto head = wire_read<Head>(bytes_of(payload));
            must(payload.size() == sizeof head + head.count * sizeof(State), "extents are counted");
        }
        must(!to.extents.contains(context), "a context is told once");
        auto& extents = to.extents[context];
        for (payload.remove_prefix(sizeof(Head)); !payload.empty();
             payload.remove_prefix(sizeof(State))) {
            must(payload.size() >= sizeof(State), "an extent is whole");
            const auto state = wire_read<State>(bytes_of(payload));
            extents.push_back({state.length_bytes, state.state});
        }
    }

    std::string_view rest_;
    const Requests& requests_;
    Form form_;
    const Asked* asked_ = nullptr;
    std::map<std::size_t, Answer> answers_;
};

}  // namespace

std::map<std::size_t, Answer> read_replies(std::string_view said, const Requests& requests,
                                           Form form, bool cut) {
    return ReplyReader(said, requests, form).read(cut);
}

}  // namespace fuzz
