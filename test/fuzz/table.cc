// Tables of any text: what is built does with each request what Lane::locate() says, sector by
// sector, inside its devices, and what is refused is told so.
#include <cstdio>
#include <optional>
#include <set>

#include "fuzz/fuzz.h"
#include "fuzz/recorder.h"
#include "fuzz/table_text.h"
#include "unit/stack.h"

namespace {

using namespace dmcore;
using fuzz::Coverage;
using fuzz::Input;
using fuzz::must;
using fuzz::Recorder;

constexpr std::uint64_t data_sectors_max = 1024;
constexpr std::uint64_t pieces_max = 4096;  // Of one request that is looked at.
constexpr std::size_t parts_max = 200'000;  // Of all requests of an input: it must not take long.

/// Where a request should go.
struct Route {
    struct Piece {
        const BlockDevice* store;
        std::uint64_t sector, sectors;
        std::uint64_t at;  // In sectors of the request.
        bool failing;
    };
    std::vector<Piece> pieces;
    bool failing = false;   // In part, or in all.
    bool complete = false;  // Not too many pieces to tell.

    /// Of all pieces.
    std::uint64_t sectors() const {
        return pieces.empty() ? 0 : pieces.back().at + pieces.back().sectors;
    }
};

/// One device, or two that stand on each other, over three stores.
class Bench {
  public:
    explicit Bench(Input& input) : input_(input) {
        for (const char* name : {"a", "b", "c"}) {
            Limits limits;
            limits.size_sectors = 8 * (1 + input.below(256));
            const std::uint8_t shape = input.byte();
            if (shape >= 250) limits.size_sectors = input.edge() % table_sectors_max + 1;
            if (shape % 8 == 7) limits.logical_block_bytes = 4096;
            limits.write_cache = shape % 16 < 8;
            limits.discard = shape % 64 < 48;
            limits.fast_zero = shape % 4 == 0;
            stores_.push_back(std::make_unique<Recorder>(name, limits, notes_));
            below_.push_back({name, limits.size_sectors});
        }
    }
    ~Bench() {
        pass();
        must(world_.idle(), "the device is idle in the end");
    }

    /// False: the table is refused.
    bool make(const std::string& name) {
        auto rows = fuzz::write_rows(input_, below_);
        std::optional<TableSet> set = build(name, rows);
        if (!set) return false;
        check_text(name, *set->lanes[0]);
        fuzz::show(name + ":\n" + set->lanes[0]->table_text(TextForm::full));
        top_ = &world_.device(name, {});
        top_->load(std::move(*set));
        top_->resume([] {});
        world_.run();
        const std::uint64_t size = lane().limits().size_sectors;
        must(size == rows.back().start_sector + rows.back().sectors, "rows make up the device");
        below_ = {{name, size}, below_[0], below_[1]};
        return true;
    }

    void use() {
        while (!input_.empty() && parts_ < parts_max) {
            switch (input_.below(16)) {
                case 0: message(); break;
                case 1: flush(); break;
                case 2: world_.pass(std::chrono::milliseconds(input_.number(2))); break;
                case 3: pause(); break;
                default: request();
            }
        }
    }

  private:
    Lane& lane() { return top_->lane(0); }

    std::optional<TableSet> build(const std::string& name, const std::vector<RowSpec>& rows) {
        TableSet set;
        set.shared = std::make_shared<TableShared>();
        set.shared->rows = rows;
        set.shared->device_name = name;
        set.shared->loaded_at = world_.clock.now();
        set.shared->seed = 42;
        try {
            set.lanes.push_back(std::make_unique<Table>(
                set.shared, 0, world_.agenda(), world_.clock,
                [this](const std::string& below) -> Lower { return find(below); }));
        } catch (const TableError& error) {
            check_error(error, rows.size());
            return std::nullopt;
        }
        return set;
    }

    BlockDevice* find(const std::string& name) {
        for (const auto& store : stores_) {
            if (store->name() == name) return store.get();
        }
        return world_.find(name, 0);
    }

    static void check_error(const TableError& error, std::size_t rows) {
        must(!error.slug.empty() && !error.message.empty(), "a refusal says why");
        must(error.row >= -1 && error.row < static_cast<int>(rows), "it names a row that is there");
        must(error.word >= -1, "it names a word that may be there");
    }

    /// What is printed is the same table.
    void check_text(const std::string& name, const Table& table) {
        const std::string text = table.table_text(TextForm::full);
        const auto again = build(name, stack::rows_of(text));
        if (!again) std::fprintf(stderr, "%s", text.c_str());
        must(again.has_value(), "what is printed is a table");
        must(again->lanes[0]->table_text(TextForm::full) == text, "and the same one");
        table.status_text();
    }

    void pass() { world_.pass(std::chrono::hours(24 * 60)); }  // Longer than any delay.

    void pause() {
        top_->suspend(input_.flag(), [] {});
        pass();
        must(top_->suspended(), "what is idle suspends");
        top_->resume([] {});
        world_.run();
    }

    void message() {
        const std::uint64_t sector = input_.below(lane().limits().size_sectors);
        const auto answer = lane().message(sector, fuzz::write_message(input_));
        world_.run();
        if (const auto* error = std::get_if<TableError>(&answer)) return check_error(*error, 1);
        const auto& text = std::get<std::string>(answer);
        must(text.empty() || text.back() == '\n', "an answer is whole lines");
    }

    /// It reaches every store that it should.
    void flush() {
        StoreWalk walk(StoreWalk::Of::flushed);
        walk.visit(lane(), nullptr);
        const bool up = all_up();
        const auto done = submit(Op::flush, 0, 0);
        std::set<const BlockDevice*> flushed;
        for (const Recorder::Seen& seen : notes_) {
            if (seen.op == Op::flush && seen.asked) flushed.insert(seen.store);
        }
        for (const BlockDevice* store : flushed)
            must(walk.has(*store), "a flush goes where it may");
        if (!up || late_) return;
        must(done->status() == Status::ok, "a flush succeeds");
        for (const auto& [store, keep] : walk.stores()) {
            const bool due = store->limits().write_cache;
            must(!due || flushed.contains(store), "a flush goes to every cache");
        }
    }

    template <class Judge>
    bool any_row(Judge judge) {
        for (const char* name : {"low", "top"}) {
            auto* device = static_cast<Lane*>(world_.find(name, 0));
            if (device != nullptr && std::ranges::any_of(device->table()->rows(), judge))
                return true;
        }
        return false;
    }
    bool has(std::string_view target) {
        return any_row([&](const Table::Row& row) { return row.type->name == target; });
    }
    bool all_up() {
        return !any_row([](const Table::Row& row) { return row.target->is_up() == false; });
    }

    std::unique_ptr<stack::Request> submit(Op op, std::uint64_t sector, std::uint64_t sectors) {
        auto request =
            world_.make(op, 0, has_data(op) ? sectors : 0, 1, std::size_t{512} << input_.below(6));
        request->bio.iter.sector = sector;
        request->bio.iter.bytes = sectors * sector_bytes;
        notes_.clear();
        world_.submit(*top_, *request);
        world_.run();
        late_ = request->answers == 0;
        if (late_) pass();
        must(request->answers == 1, "a request is answered once");
        parts_ += notes_.size();
        for (const Recorder::Seen& seen : notes_) {
            const std::uint64_t size = seen.store->limits().size_sectors;
            if (fuzz::is_shown()) {
                fuzz::show(seen.store->name() + ": " + std::to_string(static_cast<int>(seen.op)) +
                           ' ' + std::to_string(seen.sector) + '+' + std::to_string(seen.sectors));
            }
            must(seen.sector <= size && seen.sectors <= size - seen.sector,
                 "what is issued lies inside of its device");
        }
        return request;
    }

    Route route(std::uint64_t sector, std::uint64_t sectors) {
        Route route;
        const std::uint64_t begin = sector;
        for (const std::uint64_t end = sector + sectors; sector < end;) {
            if (route.pieces.size() == pieces_max) return route;
            Place place;
            place.sector = sector;
            place.sectors = end - sector;
            lane().locate(place);
            must(place.sectors > 0 && place.sectors <= end - sector, "a place is in front");
            route.pieces.push_back(
                {place.device, place.sector, place.sectors, sector - begin, place.failing});
            route.failing |= place.failing;
            sector += place.sectors;
        }
        route.complete = true;
        return route;
    }

    void request() {
        constexpr Op ops[] = {Op::read, Op::write, Op::discard, Op::write_zeroes};
        const Op op = input_.pick(ops);
        const std::uint64_t size = lane().limits().size_sectors;
        const std::uint64_t sector = input_.byte() >= 250 ? input_.edge() : input_.below(size);
        std::uint64_t most = op == Op::discard ? table_sectors_max : 128 * data_sectors_max;
        if (has_data(op)) most = data_sectors_max;
        std::uint64_t sectors = 1 + input_.below(64);
        if (input_.byte() >= 200) sectors = 1 + input_.edge() % most;
        const bool fits = sector < size && sectors <= size - sector;
        const Route where = fits ? route(sector, sectors) : Route();
        const bool takes_long = sectors / (where.sectors() / pieces_max + 1) > parts_max;
        if (fits && !where.complete && takes_long) return;
        const auto done = submit(op, sector, sectors);
        if (!fits || (op == Op::discard && !lane().limits().discard)) {
            must(done->status() != Status::ok, "what can't be done fails");
            must(notes_.empty(), "what can't be done is not begun");
            return;
        }
        if (late_ && has("flakey")) return;          // It may be down by now.
        if (op != Op::read && has("delay")) return;  // Writes may go elsewhere.
        must(where.failing || done->status() == Status::ok, "what nothing fails succeeds");
        // Here it matters where the parts of a request begin, which locate() doesn't know.
        const bool blurred = where.failing && (has("dust") || has("unstriped"));
        if (where.complete && !blurred) check_route(where, op, *done);
    }

    /// The stores have seen each sector once, where it lies.
    /// But log-writes takes discards that its device has not.
    void check_route(const Route& where, Op op, const stack::Request& done) {
        Coverage sure;
        Coverage perhaps;
        for (const Route::Piece& piece : where.pieces) {
            if (piece.store == nullptr) continue;
            perhaps.add(*piece.store, piece.sector, piece.sectors);
            if (!piece.failing) sure.add(*piece.store, piece.sector, piece.sectors);
        }
        Coverage seen;
        for (const Recorder::Seen& one : notes_) {
            if (!one.asked) continue;
            must(is_same(op, one.op), "stores see what was asked");
            seen.add(*one.store, one.sector, one.sectors);
            if (has_data(op)) check_data(where, one, done);
        }
        must(perhaps.holds(seen), "nothing else is issued");
        must(seen.holds(sure) || (op == Op::discard && has("log-writes")), "all is issued");
    }

    static bool is_same(Op asked, Op seen) {
        return seen == asked || (asked == Op::write_zeroes && seen == Op::write);
    }

    /// Bytes go to the place of their sector, unless they are spoiled on purpose, as a copy.
    static void check_data(const Route& where, const Recorder::Seen& seen,
                           const stack::Request& done) {
        const std::byte* const begin = done.data.data();
        const std::byte* const end = begin + done.data.size();
        const bool copied = seen.data < begin || seen.data >= end;
        if (copied) return must(where.failing, "data is copied only to be spoiled");
        const auto at = static_cast<std::uint64_t>(seen.data - begin) / sector_bytes;
        for (const Route::Piece& piece : where.pieces) {
            if (piece.at > at || at - piece.at >= piece.sectors) continue;
            must(piece.store == seen.store && piece.sector + (at - piece.at) == seen.sector,
                 "bytes go to the place of their sector");
        }
    }

    Input& input_;
    std::vector<Recorder::Seen> notes_;
    std::vector<std::unique_ptr<Recorder>> stores_;
    std::vector<fuzz::Below> below_;
    stack::World world_;
    MappedDevice* top_ = nullptr;
    bool late_ = false;  // The last request had to wait.
    std::size_t parts_ = 0;
};

}  // namespace

int fuzz_table(std::span<const std::uint8_t> bytes) {
    Input input(bytes);
    const bool stacked = input.flag();
    Bench bench(input);
    if (stacked && !bench.make("low")) return 0;
    if (bench.make("top")) bench.use();
    return 0;
}
