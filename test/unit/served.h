#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "config/diff.h"
#include "config/load.h"
#include "config/print.h"
#include "server/reload.h"
#include "server/running.h"
#include "unit/folder.h"
#include "unit/socket_client.h"

/// A server with real sockets and threads in a folder of its own, whose table file a test changes.
/// In table texts `@` stands for the folder.
struct Served {
    Folder folder;
    std::unique_ptr<server::Running> running;
    std::string socket = folder / "nbd.sock";

    explicit Served(const std::string& text) {
        const config::Spec spec = load(text);
        running = std::make_unique<server::Running>(spec, 1, 2);
        running->listen(spec.listen);
    }
    ~Served() {
        if (running != nullptr) {
            CHECK(running->drain(std::chrono::seconds(1)) == server::Drained::clean);
        }
    }

    config::Spec load(std::string text) const {
        for (std::size_t at; (at = text.find('@')) != std::string::npos;) {
            text.replace(at, 1, folder.path.string());
        }
        if (text.find("listen:") == std::string::npos) {
            text += "\nlisten: [ \"unix:" + folder.path.string() + "/nbd.sock\" ]\n";
        }
        config::Diagnostics found;
        auto spec = config::load_text("table", "version: 1\nseed: 1\n" + text, found);
        REQUIRE_MESSAGE(spec.has_value(), found.human());
        return std::move(*spec);
    }
    server::Applied apply(const std::string& text, const server::ApplyOptions& options = {}) {
        return running->apply(load(text), options);
    }
    /// Why it is refused: its slug; nothing may have changed.
    std::string refusal(const config::Spec& wanted, const server::ApplyOptions& options = {},
                        server::Companion* companion = nullptr) {
        const std::uint64_t before = running->generation();
        const std::string yaml = config::yaml_text(running->live_spec());
        const std::string slug = slug_of(wanted, options, companion);
        CHECK(running->generation() == before);
        CHECK(config::yaml_text(running->live_spec()) == yaml);
        return slug;
    }
    std::string refusal(const std::string& text, const server::ApplyOptions& options = {}) {
        return refusal(load(text), options);
    }
    /// Reads a sector through a connection of its own.
    std::string read(const std::string& name, std::uint64_t sector = 0) const {
        socket_client::Client client(socket, name);
        client.request(server::nbd::Command::read, 1, sector * 512, 512);
        if (client.reply().second != 0) return "error";
        return client.receive(512);
    }
    bool write(const std::string& name, std::uint64_t sector, char fill) const {
        socket_client::Client client(socket, name);
        client.request(server::nbd::Command::write, 1, sector * 512, 512, std::string(512, fill));
        return client.reply().second == 0;
    }
    server::DeviceInfo device(const std::string& name) const {
        for (const auto& each : running->devices()) {
            if (each.name == name) return each;
        }
        return {};
    }
    static bool within(std::chrono::milliseconds time, const std::function<bool()>& what) {
        const auto until = std::chrono::steady_clock::now() + time;
        while (!what()) {
            if (std::chrono::steady_clock::now() >= until) return false;
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        return true;
    }

  private:
    std::string slug_of(const config::Spec& wanted, const server::ApplyOptions& options,
                        server::Companion* companion) {
        try {
            running->apply(wanted, options, companion);
        } catch (const server::ReloadError& error) {
            return error.slug;
        } catch (const server::BadTable& bad) {
            return bad.found.all().front().slug;
        }
        return "applied";
    }
};
