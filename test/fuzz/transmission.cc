// The transmission phase over a small stack, whatever a client sends and whatever happens to its
// device meanwhile: each request is answered once, in a form that can be read, with what was
// written or why not; and when all is over nothing is left of it.
#include "fuzz/contents.h"
#include "fuzz/fuzz.h"
#include "fuzz/replies.h"
#include "fuzz/served.h"

namespace {

using namespace fuzz;
using namespace server::nbd;

/// The stream arrives, and things happen.
void play(Served& served, const Traffic& traffic, const Requests& requests) {
    std::size_t arrived = 0;
    std::size_t next = 0;  // Of the requests.
    for (const Traffic::Event& event : traffic.events) {
        while (traffic.strict && next < requests.all.size() && requests.all[next].end <= event.at) {
            // What BLOCK_STATUS tells may be of any moment until it is told: let it be this one.
            const Asked& asked = requests.all[next++];
            if (asked.is(Command::block_status)) served.settle(traffic.stream, asked.end);
        }
        arrived = event.at;
        served.arrive(traffic.stream, arrived);
        served.happen(event);
        if (!served.session().fault().empty()) return;
    }
    served.settle(traffic.stream, arrived);
}

void check_answer(const Requests& requests, std::size_t number, const Answer& answer, bool moved) {
    const Asked& asked = requests.all[number];
    must(answer.complete, "an answer is complete");
    must(answer.error == 0 || (answer.data.empty() && answer.extents.empty()),
         "an error is all there is");
    const bool may_change = moved && asked.has(command_flag_fast_zero);  // By the live table.
    must(asked.refusals.empty() || asked.refusals.contains(answer.error) || may_change,
         "a bad request is refused with one of its reasons");
    if (answer.error != 0) return;
    if (asked.is(Command::read)) check_tiles(requests, asked, answer, moved);
    if (asked.is(Command::block_status)) check_extents(asked, answer);
}

std::string text_of(const Asked& asked, std::size_t number) {
    return "request " + std::to_string(number) + ": command " + std::to_string(asked.command) +
           " flags " + std::to_string(asked.flags) + " at " +
           std::to_string(asked.offset_bytes / 512) + " + " +
           std::to_string(asked.length_bytes / 512) + (asked.zeroes ? " zeroes" : "") +
           (asked.refusals.empty() ? "" : " bad");
}

void check_end(const Served& served, const Requests& requests, const Traffic& traffic) {
    const Session& session = served.session();
    if (served.ended()) return;
    const bool faulty = !session.fault().empty();
    must(faulty == requests.faulty, "a stream that can't be trusted is a fault, and no other");
    if (faulty) return;
    must(session.leaving() == requests.leaves, "DISC is heard");
    must(served.taken() == traffic.stream.size(), "all is taken in the end");
    // One may have begun, whose payload does not come.
    must(session.in_flight() <= 1 && (session.idle() || !session.leaving()), "all is answered");
}

}  // namespace

int fuzz_transmission(std::span<const std::uint8_t> bytes) {
    Input input(bytes);
    Traffic traffic = write_traffic(input);
    Served served(traffic);
    const Requests requests = read_requests(traffic, served.info(), served.terms());
    play(served, traffic, requests);
    const bool cut = served.ended() || !served.session().fault().empty();
    const auto answers = read_replies(served.said(), requests, traffic.form, cut);
    check_end(served, requests, traffic);
    Contents contents(traffic.table);
    for (std::size_t number = 0; number < requests.all.size(); ++number) {
        const auto answer = answers.find(number);
        show(text_of(requests.all[number], number) +
             (answer == answers.end() ? "" : " error " + std::to_string(answer->second.error)));
        must(answer != answers.end() || cut, "each request is answered");
        if (answer == answers.end() || !answer->second.complete) {
            if (traffic.strict) break;
            continue;
        }
        check_answer(requests, number, answer->second, served.moved());
        const bool nothing =
            requests.all[number].refusals.empty() && !requests.all[number].is_served();
        must(cut || !nothing || answer->second.error == 0, "no bytes are no reason to fail");
        if (traffic.strict) contents.check(requests, number, answer->second);
    }
    must(cut || served.counted() == answers.size(), "each answer is counted");
    return 0;
}
