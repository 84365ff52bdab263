#ifdef DMNBD_HAS_OPENSSL

#include "server/net/record_cipher.h"

#include <doctest/doctest.h>
#include <openssl/ssl.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "server/limits.h"
#include "server/net/fast_gcm.h"
#include "server/net/psk_file.h"

// Every library that may encrypt, beside the test cases 4 and 16 of the specification of GCM and
// beside each other.
namespace {

using server::RecordCipher;
using Bytes = std::vector<unsigned char>;

Bytes from_hex(const std::string& text) {
    return server::bytes_of_hex(text).value();
}

/// As OpenSSL makes it, and where it can be had as libIPSec_MB does.
std::vector<std::unique_ptr<RecordCipher>> ciphers(std::size_t key_bytes) {
    SSL_CTX* const context = SSL_CTX_new(TLS_server_method());
    SSL* const ssl = SSL_new(context);
    const unsigned char aes_128[] = {0x13, 0x01};
    const unsigned char aes_256[] = {0x13, 0x02};
    std::vector<std::unique_ptr<RecordCipher>> all;
    all.push_back(
        server::openssl_record_cipher(SSL_CIPHER_find(ssl, key_bytes == 16 ? aes_128 : aes_256)));
    if (auto fast = server::fast_gcm(key_bytes)) all.push_back(std::move(fast));
    SSL_free(ssl);
    SSL_CTX_free(context);
    return all;
}

/// What `text` becomes in two pieces, and its tag.
Bytes sealed(RecordCipher& cipher, const Bytes& nonce, const Bytes& head, const Bytes& text,
             std::size_t first_bytes) {
    Bytes out(text.size() + RecordCipher::tag_bytes);
    const std::span whole(text);
    CHECK(cipher.begin(std::span(nonce).first<RecordCipher::nonce_bytes>(), head));
    CHECK(cipher.add(whole.first(first_bytes), out.data()));
    CHECK(cipher.add(whole.subspan(first_bytes), out.data() + first_bytes));
    CHECK(cipher.end(out.data() + text.size()));
    return out;
}

const std::string half_key = "feffe9928665731c6d6a8f9467308308";
const Bytes nonce = from_hex("cafebabefacedbaddecaf888");
const Bytes head = from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
const Bytes text = from_hex(
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");

}  // namespace

#ifdef DMNBD_HAS_IPSEC_MB
TEST_CASE("libIPSec_MB encrypts where the processor can") {
    const std::string version = server::fast_gcm_version();
    CHECK(version.starts_with("libIPSec_MB "));  // It comes with its header.
    std::ifstream about("/proc/cpuinfo");
    const std::string flags(std::istreambuf_iterator<char>(about), {});
    bool can = true;
    for (const char* flag : {" avx512f", " avx512bw", " avx512vl", " avx512ifma", " vaes",
                             " vpclmulqdq", " gfni", " sha_ni"}) {
        can = can && flags.find(flag) != std::string::npos;
    }
    CAPTURE(version);
    CHECK((server::fast_gcm(16) != nullptr) == can);
    CHECK((server::fast_gcm(32) != nullptr) == can);
    CHECK((version.find('(') == std::string::npos) == can);
}
#endif

TEST_CASE("record ciphers give what the specification of GCM does, however it comes in pieces") {
    const Bytes expected_128 = from_hex(
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        "5bc94fbc3221a5db94fae95ae7121a47");
    const Bytes expected_256 = from_hex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b");
    for (const std::size_t key_bytes : {16, 32}) {
        const Bytes key = from_hex(key_bytes == 16 ? half_key : half_key + half_key);
        for (const auto& cipher : ciphers(key_bytes)) {
            REQUIRE(cipher->key_bytes() == key_bytes);
            REQUIRE(cipher->set_key(key));
            for (std::size_t first = 0; first <= text.size(); ++first) {
                CHECK(sealed(*cipher, nonce, head, text, first) ==
                      (key_bytes == 16 ? expected_128 : expected_256));
            }
        }
    }
}

TEST_CASE("record ciphers agree on whole records, and on a key that follows another") {
    Bytes record(server::limits::tls_record_bytes);
    for (std::size_t i = 0; i < record.size(); ++i) record[i] = static_cast<unsigned char>(i * 7);
    for (const std::size_t key_bytes : {16, 32}) {
        std::vector<Bytes> outcomes;
        for (const auto& cipher : ciphers(key_bytes)) {
            Bytes outcome;
            for (const char* key : {"01", "02"}) {
                REQUIRE(cipher->set_key(Bytes(key_bytes, from_hex(key).front())));
                const Bytes one = sealed(*cipher, nonce, head, record, 20);
                outcome.insert(outcome.end(), one.begin(), one.end());
            }
            outcomes.push_back(outcome);
        }
        CHECK(outcomes.front() == outcomes.back());
    }
}

#endif
