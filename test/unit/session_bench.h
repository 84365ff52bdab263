#pragma once

#include <array>
#include <memory>
#include <string>

#include "server/limits.h"
#include "server/nbd/session.h"
#include "unit/nbd_client.h"
#include "unit/stack.h"

namespace nbd_test {

/// A session over a device of one table, on a store `d` of 512 MiB.
struct Bench {
    stack::World world;
    stack::Probe& d = world.probe("d", 1 << 20);
    dmcore::MappedDevice& device;
    Buffers buffers{server::limits::shard_buffer_bytes, server::limits::shard_buffer_bytes_tight};
    SessionResources resources{world.agenda(0), buffers};
    int wakes = 0;
    Terms terms;
    std::unique_ptr<Session> session;

    explicit Bench(Form form = Form::simple, const std::string& table = "0 1048576 linear d 0")
        : device(world.device("disk", table)) {
        ExportInfo info = export_named("disk");
        info.size_bytes = device.lane(0).limits().size_sectors * dmcore::sector_bytes;
        terms.form = form;
        terms.contexts = bit_of(MetaContext::allocation) | bit_of(MetaContext::map);
        terms.transmission_flags = transmission_flags(info, terms.form);
        session = std::make_unique<Session>(
            device.lane(0), info, terms, resources,
            [](void* self) noexcept { ++static_cast<Bench*>(self)->wakes; }, this);
    }
    ~Bench() {
        session->die();
        for (auto* each : d.kept) d.finish(*each);
        d.kept.clear();
        world.run();
    }

    static std::string request(Command command, std::uint64_t cookie, std::uint64_t offset,
                               std::uint32_t length, std::uint16_t flags = 0) {
        return request_header(command, cookie, offset, length, flags);
    }
    /// How much of `bytes` the session takes.
    std::size_t feed(const std::string& bytes) {
        return session->feed(std::as_bytes(std::span(bytes)));
    }
    /// All there is to send, which counts as sent.
    std::string output() {
        world.run();
        std::string sent;
        std::array<iovec, 8> pieces;
        while (const std::size_t count = session->output(pieces)) {
            std::size_t bytes = 0;
            for (std::size_t i = 0; i < count; ++i) {
                sent.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
                bytes += pieces[i].iov_len;
            }
            session->sent(bytes);
        }
        return sent;
    }
    static std::string simple(std::uint64_t cookie, std::uint32_t error) {
        SimpleReply reply;
        reply.error = error;
        reply.cookie = cookie;
        return raw(reply);
    }
};

}  // namespace nbd_test
