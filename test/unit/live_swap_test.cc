#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "config/load.h"
#include "dmcore/random.h"
#include "server/running.h"
#include "unit/folder.h"
#include "unit/socket_client.h"

namespace {

constexpr std::uint64_t region_bytes = 8 << 20;  // Of each client.
constexpr int client_count = 4;

config::Spec spec_of(const Folder& folder) {
    const std::string path = folder.path.string();
    std::string text = "version: 1\nseed: 1\nshards: 2\nstores:\n";
    for (const char* name : {"a", "b"}) {
        text += std::string("  ") + name + ": { type: file, path: \"" + path + "/" + name +
                "\", size: 16MiB, create: true }\n";
    }
    text +=
        "devices:\n"
        "  disk: { table: [ { target: linear, args: { device: a } },\n"
        "                   { target: linear, args: { device: b } } ] }\n"
        "exports: { \"\": disk }\n"
        "listen: [ \"unix:" +
        path + "/nbd.sock\" ]\n";
    config::Diagnostics found;
    const auto spec = config::load_text("test", text, found);
    REQUIRE_MESSAGE(spec.has_value(), found.human());
    return *spec;
}

/// The same bytes as `a` then `b`, cut at random places.
std::string random_cuts(dmcore::Random& random) {
    constexpr std::uint64_t half = 32768;
    std::string rows;
    for (std::uint64_t at = 0; at < 2 * half;) {
        const std::uint64_t end = at < half ? half : 2 * half;
        const std::uint64_t sectors = std::min(end - at, 1 + random.below(9000));
        rows += std::to_string(at) + ' ' + std::to_string(sectors) + " linear " +
                (at < half ? "a " : "b ") + std::to_string(at % half) + '\n';
        at += sectors;
    }
    return rows;
}

/// Writes and reads its own part of the disk, several requests at a time, until told to stop.
void load(const std::string& socket, int number, const std::atomic<bool>& stop,
          std::atomic<std::uint64_t>& verified) {
    using server::nbd::Command;
    socket_client::Client client(socket, "");
    dmcore::Random random(static_cast<std::uint64_t>(number));
    std::string model(region_bytes, '\0');
    const std::uint64_t base = static_cast<std::uint64_t>(number) * region_bytes;
    while (!stop) {
        constexpr std::uint64_t depth = 8;
        constexpr std::uint64_t slot = region_bytes / depth;
        std::uint64_t offset[depth];
        std::uint32_t length[depth];
        for (std::uint64_t i = 0; i < depth; ++i) {
            length[i] = static_cast<std::uint32_t>(512 * (1 + random.below(256)));
            offset[i] = i * slot + 512 * random.below((slot - length[i]) / 512 + 1);
            std::string data(length[i], static_cast<char>(random.next()));
            for (std::size_t at = 0; at < data.size(); at += 512) {
                const std::uint64_t mark = random.next();
                std::memcpy(data.data() + at, &mark, sizeof mark);
            }
            model.replace(offset[i], length[i], data);
            client.request(Command::write, i, base + offset[i], length[i], data);
        }
        for (std::uint64_t i = 0; i < depth; ++i) {
            if (client.reply().second != 0) throw std::runtime_error("a write failed");
        }
        for (std::uint64_t i = 0; i < depth; ++i) {
            client.request(Command::read, i, base + offset[i], length[i]);
        }
        for (std::uint64_t i = 0; i < depth; ++i) {
            const auto [cookie, error] = client.reply();
            if (error != 0) throw std::runtime_error("a read failed");
            if (client.receive(length[cookie]) != model.substr(offset[cookie], length[cookie])) {
                throw std::runtime_error("a read returned other bytes than were written");
            }
            ++verified;
        }
    }
}

/// Swaps one after another would leave a slow build no time for any I/O between them.
void wait_for_progress(const std::atomic<std::uint64_t>& verified) {
    const std::uint64_t before = verified;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (verified == before && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

int rounds() {
    const char* wanted = std::getenv("DMNBD_SWAP_ROUNDS");
    return wanted == nullptr ? 1000 : std::atoi(wanted);
}

}  // namespace

TEST_CASE("live: suspend with noflush, swap and resume under a verifying load on 4 connections") {
    // Nobody may lose a byte, an answer or a connection when a table changes under them.
    const Folder folder;
    const config::Spec spec = spec_of(folder);
    server::Running running(spec, 1, 2);
    running.listen(spec.listen);
    const std::string socket = (folder.path / "nbd.sock").string();

    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> verified{0};
    std::vector<std::string> errors(client_count);
    std::vector<std::thread> clients;
    for (int i = 0; i < client_count; ++i) {
        clients.emplace_back([&, i] {
            try {
                load(socket, i, stop, verified);
            } catch (const std::exception& error) {
                errors[static_cast<std::size_t>(i)] = error.what();
            }
        });
    }
    dmcore::Random random(7);
    for (int i = 0; i < rounds(); ++i) {
        running.suspend("disk", true);
        running.load("disk", {.text = random_cuts(random)});
        running.resume("disk", true);
        if (i % 8 == 0) wait_for_progress(verified);
    }
    stop = true;
    for (auto& client : clients) client.join();
    for (const std::string& error : errors) CHECK(error == "");
    MESSAGE(verified.load(), " reads verified over ", rounds(), " swaps");
    CHECK(verified > 100);
    CHECK(running.drain(std::chrono::seconds(5)) == server::Drained::clean);
}
