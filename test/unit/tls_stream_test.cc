#ifdef DMNBD_HAS_OPENSSL

#include "server/net/tls_stream.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>

#include "server/limits.h"
#include "unit/folder.h"

// A server's TLS on one end of a socket pair, OpenSSL's client on the other; pre-shared keys, so
// that no certificates are needed.
namespace {

using server::TlsStream;
namespace limits = server::limits;

const std::string psk_line = "alice:000102030405060708090a0b0c0d0e0f\n";

unsigned client_key(SSL*, const char*, char* name, unsigned name_bytes, unsigned char* key,
                    unsigned) {
    std::strncpy(name, "alice", name_bytes);
    for (unsigned char i = 0; i < 16; ++i) key[i] = i;
    return 16;
}

std::shared_ptr<const server::TlsContext> credentials() {
    const Folder folder;
    config::TlsSpec spec;
    spec.psk_path = folder / "keys";
    std::ofstream(spec.psk_path) << psk_line;
    return server::load_tls(spec);
}

std::string noise(std::size_t bytes) {
    std::mt19937 random(1);
    std::string text(bytes, '\0');
    for (char& each : text) each = static_cast<char>(random());
    return text;
}

struct Pair {
    int ends[2];
    server::TlsScratch scratch;
    std::unique_ptr<TlsStream> server;
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL* client = nullptr;
    std::vector<char> room = std::vector<char>(limits::receive_bytes);

    explicit Pair(int version = TLS1_3_VERSION, const char* suite = "TLS_AES_128_GCM_SHA256") {
        REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        server = std::make_unique<TlsStream>(credentials(), ends[0], scratch);
        SSL_CTX_set_max_proto_version(context, version);
        SSL_CTX_set_ciphersuites(context, suite);
        SSL_CTX_set_psk_client_callback(context, client_key);
        client = SSL_new(context);
        SSL_set_fd(client, ends[1]);
        SSL_set_connect_state(client);
    }
    ~Pair() {
        server.reset();
        SSL_free(client);
        SSL_CTX_free(context);
        ::close(ends[0]);
        ::close(ends[1]);
    }
    void shake_hands() {
        for (int i = 0; i < 4 && SSL_do_handshake(client) != 1; ++i) CHECK(read().empty());
        REQUIRE(SSL_is_init_finished(client));
        CHECK(read().empty());
    }
    /// By one call; -1 and what it failed with are left in `result` and errno.
    std::string read() {
        const iovec piece{room.data(), room.size()};
        result = server->read({&piece, 1});
        return result > 0 ? std::string(room.data(), static_cast<std::size_t>(result)) : "";
    }
    std::string client_read() {
        std::string all;
        std::vector<char> some(1 << 16);
        for (int got; (got = SSL_read(client, some.data(), static_cast<int>(some.size()))) > 0;) {
            all.append(some.data(), static_cast<std::size_t>(got));
        }
        return all;
    }
    ssize_t result = 0;
};

/// Whole records in the socket, of those that hold data.
std::size_t records(int fd) {
    std::vector<unsigned char> raw(1 << 20);
    const ssize_t got = ::recv(fd, raw.data(), raw.size(), MSG_PEEK);
    std::size_t count = 0;
    for (ssize_t at = 0; at + 5 <= got; ++count) at += 5 + (raw[at + 3] << 8 | raw[at + 4]);
    return count;
}

}  // namespace

TEST_CASE("TLS shakes hands by reading, and carries bytes both ways") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        Pair pair(version);
        pair.shake_hands();
        CHECK(SSL_version(pair.client) == version);
        REQUIRE(SSL_write(pair.client, "hello", 5) == 5);
        CHECK(pair.read() == "hello");
        CHECK(pair.read().empty());
        CHECK(pair.result == -1);
        CHECK(errno == EAGAIN);
        const iovec pieces[] = {{const_cast<char*>("how "), 4}, {const_cast<char*>("are you"), 7}};
        CHECK(pair.server->write(pieces) == 11);
        CHECK(pair.server->flush());
        CHECK(pair.client_read() == "how are you");
    }
}

TEST_CASE("all that one read has received is in the caller's room, which no event would tell of") {
    Pair pair;
    pair.shake_hands();
    const std::string data = noise(3000 + limits::tls_record_bytes);
    for (int i = 0; i < 50; ++i) REQUIRE(SSL_write(pair.client, data.data() + i, 33) == 33);
    REQUIRE(SSL_write(pair.client, data.data(), static_cast<int>(data.size())) > 0);
    char payload[100];
    const iovec pieces[] = {{payload, sizeof payload}, {pair.room.data(), pair.room.size()}};
    const auto all = static_cast<std::size_t>(pair.server->read(pieces));
    CHECK(all == 50 * 33 + data.size());
    CHECK(std::string(payload + 66, 33) == data.substr(2, 33));
    CHECK(std::string(pair.room.data() + 50 * 33 - 100, data.size()) == data);
}

TEST_CASE("a record that comes in parts is given out when it is whole") {
    Pair pair;
    pair.shake_hands();
    const std::string data = noise(40000);
    REQUIRE(SSL_write(pair.client, data.data(), 40000) == 40000);
    std::vector<char> raw(50000);
    const ssize_t bytes = ::recv(pair.ends[0], raw.data(), raw.size(), 0);
    std::string got;
    for (ssize_t at = 0; at < bytes; at += 997) {
        const auto count = static_cast<std::size_t>(std::min<ssize_t>(997, bytes - at));
        REQUIRE(::send(pair.ends[1], raw.data() + at, count, 0) > 0);
        got += pair.read();
    }
    CHECK(got == data);
}

TEST_CASE("heads and data share records, and a full socket delays but loses nothing") {
    Pair pair;
    pair.shake_hands();
    const std::string head = noise(16);
    const std::string data = noise(64 << 10);
    std::string wanted;
    std::vector<iovec> pieces;
    for (int i = 0; i < 16; ++i) {
        pieces.push_back({const_cast<char*>(head.data()), head.size()});
        pieces.push_back({const_cast<char*>(data.data()), data.size()});
        wanted += head + data;
    }
    std::string got;
    std::size_t done = 0;
    std::size_t delays = 0;
    while (got.size() < wanted.size() && delays < 1000) {
        std::vector<iovec> left;
        std::size_t skip = done;
        for (const iovec& piece : pieces) {
            const std::size_t gone = std::min(skip, piece.iov_len);
            skip -= gone;
            if (gone < piece.iov_len) {
                left.push_back({static_cast<char*>(piece.iov_base) + gone, piece.iov_len - gone});
            }
        }
        const ssize_t taken = left.empty() ? 0 : pair.server->write(left);
        if (taken > 0) {
            CHECK(static_cast<std::size_t>(taken) <= limits::tls_batch_bytes);
            if (done == 0) CHECK(records(pair.ends[1]) <= 9);
            done += static_cast<std::size_t>(taken);
            continue;
        }
        CHECK((left.empty() || errno == EAGAIN));
        ++delays;
        got += pair.client_read();
        pair.server->flush();
    }
    CHECK(delays > 0);
    CHECK(pair.server->flush());
    CHECK(got + pair.client_read() == wanted);
}

TEST_CASE("an end is an end, with or without a word of goodbye") {
    for (const bool says : {true, false}) {
        Pair pair;
        pair.shake_hands();
        REQUIRE(SSL_write(pair.client, "last", 4) == 4);
        if (says) SSL_shutdown(pair.client);
        ::shutdown(pair.ends[1], SHUT_WR);
        std::string got = pair.read();
        CHECK(got == "last");
        CHECK(pair.read().empty());
        CHECK(pair.result == 0);
        // Half of it: answers still get there, and the goodbye with them.
        const iovec piece{const_cast<char*>("answer"), 6};
        CHECK(pair.server->write({&piece, 1}) == 6);
        pair.server->say_goodbye();
        char text[16];
        CHECK(SSL_read(pair.client, text, sizeof text) == 6);
        CHECK(SSL_read(pair.client, text, sizeof text) == 0);
        CHECK((SSL_get_shutdown(pair.client) & SSL_RECEIVED_SHUTDOWN) != 0);
    }
}

TEST_CASE("what is no TLS fails, and so does all that follows") {
    Pair pair;
    REQUIRE(::send(pair.ends[1], "IHAVEOPT is not a ClientHello", 29, 0) == 29);
    CHECK(pair.read().empty());
    CHECK(pair.result == -1);
    CHECK(errno == EPROTO);
    CHECK(pair.server->trouble().starts_with("TLS: "));
    CHECK(pair.read().empty());
    CHECK(errno == EPROTO);
    const iovec piece{const_cast<char*>("x"), 1};
    CHECK(pair.server->write({&piece, 1}) == -1);
    CHECK(errno == EPROTO);
}

TEST_CASE("a client that asks for a new key gets it, and all that follows is by it") {
    Pair pair;
    pair.shake_hands();
    const std::string data = noise(40000);
    const iovec piece{const_cast<char*>(data.data()), data.size()};
    for (int i = 0; i < 5; ++i) {
        REQUIRE(pair.server->write({&piece, 1}) == 40000);
        CHECK(pair.client_read() == data);
        REQUIRE(SSL_key_update(pair.client, i == 3 ? SSL_KEY_UPDATE_NOT_REQUESTED
                                                   : SSL_KEY_UPDATE_REQUESTED) == 1);
        REQUIRE(SSL_write(pair.client, "more", 4) == 4);
        CHECK(pair.read() == "more");
    }
    pair.server->say_goodbye();
    CHECK(pair.client_read().empty());
    CHECK((SSL_get_shutdown(pair.client) & SSL_RECEIVED_SHUTDOWN) != 0);
}

TEST_CASE("each suite of TLS 1.3 is understood, by records full and short") {
    for (const char* suite : {"TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"}) {
        Pair pair(TLS1_3_VERSION, suite);
        pair.shake_hands();
        std::string wanted;
        std::vector<std::string> parts;
        for (const std::size_t bytes : {1, 15, 16, 17, 28, 5000, 16384, 3, 20000}) {
            parts.push_back(noise(bytes));
        }
        std::vector<iovec> pieces;
        for (std::string& each : parts) {
            pieces.push_back({each.data(), each.size()});
            wanted += each;
        }
        CHECK(pair.server->write(pieces) == static_cast<ssize_t>(wanted.size()));
        CHECK(pair.client_read() == wanted);
    }
}

TEST_CASE("a client that wants small records gets them") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        Pair pair(version);
        SSL_set_tlsext_max_fragment_length(pair.client, TLSEXT_max_fragment_length_1024);
        pair.shake_hands();
        const std::string data = noise(100000);
        const iovec piece{const_cast<char*>(data.data()), data.size()};
        CHECK(pair.server->write({&piece, 1}) == 100000);
        CHECK(pair.client_read() == data);
    }
}

TEST_CASE("a client whose record is no good is told so, by records of our own too") {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        Pair pair(version);
        pair.shake_hands();
        const std::string record = std::string("\x17\x03\x03\0\x20", 5) + noise(32);
        REQUIRE(::send(pair.ends[1], record.data(), record.size(), 0) == 37);
        CHECK(pair.read().empty());
        CHECK(errno == EPROTO);
        ERR_clear_error();
        CHECK(pair.client_read().empty());
        CHECK(ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    }
}

TEST_CASE("a client that makes TLS talk and does not listen is given up") {
    Pair pair;
    pair.shake_hands();
    bool given_up = false;
    for (int i = 0; i < 100'000 && !given_up; ++i) {
        SSL_key_update(pair.client, SSL_KEY_UPDATE_REQUESTED);
        if (SSL_do_handshake(pair.client) != 1) break;
        pair.read();
        given_up = pair.result == -1 && errno == EPROTO;
    }
    CHECK(given_up);
}

TEST_CASE("credentials that can't be loaded say which file, and why") {
    const Folder folder;
    config::TlsSpec spec;
    spec.psk_path = folder / "keys";
    spec.psk_position = {nullptr, 7, 1, 1};
    std::ofstream(spec.psk_path) << "alice:xyz\n";
    auto trouble = server::check_tls(spec);
    REQUIRE(trouble.has_value());
    CHECK(trouble->at.line == 7);
    CHECK(trouble->report.message.find("line 1 has a key") != std::string::npos);
    CHECK(trouble->report.message.find("xyz") == std::string::npos);

    spec = {};
    spec.cert_path = spec.key_path = folder / "cert";
    std::ofstream(spec.cert_path) << "no certificate\n";
    trouble = server::check_tls(spec);
    REQUIRE(trouble.has_value());
    CHECK(trouble->report.slug == "bad-tls-file");
    CHECK(trouble->report.message.starts_with("tls: cert "));
    CHECK(server::load_tls({}) == nullptr);
}

#endif  // DMNBD_HAS_OPENSSL
