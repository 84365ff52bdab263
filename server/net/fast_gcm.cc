#include "server/net/fast_gcm.h"

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

#include <cassert>

namespace server {
namespace {

/// The library, opened. Never changes, and is never closed.
class Library {
  public:
    Library() {
        void* const file = ::dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
        if (file == nullptr) {
            version_ = "no libIPSec_MB (faster TLS)";
            return;
        }
        version_ = "libIPSec_MB";
        const char* const why = why_not(file);
        if (why != nullptr) version_ += " (not used: " + std::string(why) + ")";
    }

    /// For this processor. Null: it is not to be used.
    const IMB_MGR* functions() const noexcept { return functions_; }
    const std::string& version() const noexcept { return version_; }

  private:
    template <class Function>
    static Function* symbol(void* file, const char* name) {
        return reinterpret_cast<Function*>(::dlsym(file, name));
    }

    /// Null: it can be used, and is. Keys are as large as the header says, and 1.4 has larger ones.
    const char* why_not(void* file) {
        const auto number_of = symbol<decltype(imb_get_version)>(file, "imb_get_version");
        const auto version_of = symbol<decltype(imb_get_version_str)>(file, "imb_get_version_str");
        const auto allocate = symbol<decltype(alloc_mb_mgr)>(file, "alloc_mb_mgr");
        const auto initialize = symbol<decltype(init_mb_mgr_auto)>(file, "init_mb_mgr_auto");
        if (number_of == nullptr || version_of == nullptr) return "it does not say its version";
        version_ += ' ' + std::string(version_of());
        constexpr unsigned behind_ours = IMB_VERSION_NUM / 0x100 * 0x100 + 0x100;
        const unsigned number = number_of();
        if (number < IMB_VERSION(1, 0, 0) || number >= behind_ours) {
            return "this program was built for " IMB_VERSION_STR " and before";
        }
        IMB_MGR* const made = allocate == nullptr ? nullptr : allocate(0);
        if (made == nullptr || initialize == nullptr) return "it can't be initialized";
        initialize(made, nullptr);
        if (made->imb_errno != 0) return "it fails its own tests";
        if ((made->features & IMB_CPUFLAGS_AVX512_T2) != IMB_CPUFLAGS_AVX512_T2) {
            return "the processor has no AVX-512 with VAES";
        }
        functions_ = made;
        return nullptr;
    }

    const IMB_MGR* functions_ = nullptr;
    std::string version_;
};

const Library& library() {
    static const Library one;
    return one;
}

template <std::size_t bytes>
class FastGcm final : public RecordCipher {
  public:
    explicit FastGcm(const IMB_MGR* functions) : functions_(*functions) {}
    ~FastGcm() override {
        OPENSSL_cleanse(&key_, sizeof key_);
        OPENSSL_cleanse(&record_, sizeof record_);
    }

    std::size_t key_bytes() const noexcept override { return bytes; }

    bool set_key(std::span<const unsigned char> key) override {
        assert(key.size() == bytes);
        of_size(functions_.gcm128_pre, functions_.gcm256_pre)(key.data(), &key_);
        return true;
    }

    bool begin(std::span<const unsigned char, nonce_bytes> nonce,
               std::span<const unsigned char> head) override {
        of_size(functions_.gcm128_init, functions_.gcm256_init)(&key_, &record_, nonce.data(),
                                                                head.data(), head.size());
        return true;
    }

    bool add(std::span<const unsigned char> part, unsigned char* to) override {
        of_size(functions_.gcm128_enc_update, functions_.gcm256_enc_update)(
            &key_, &record_, to, part.data(), part.size());
        return true;
    }

    bool end(unsigned char* tag) override {
        of_size(functions_.gcm128_enc_finalize, functions_.gcm256_enc_finalize)(&key_, &record_,
                                                                                tag, tag_bytes);
        return true;
    }

  private:
    template <class Function>
    static Function of_size(Function for_128, Function for_256) {
        return bytes == 16 ? for_128 : for_256;
    }

    const IMB_MGR& functions_;
    alignas(64) gcm_key_data key_{};
    gcm_context_data record_{};
};

}  // namespace

std::unique_ptr<RecordCipher> fast_gcm(std::size_t key_bytes) {
    assert(key_bytes == 16 || key_bytes == 32);
    const IMB_MGR* const functions = library().functions();
    if (functions == nullptr) return nullptr;
    if (key_bytes == 16) return std::make_unique<FastGcm<16>>(functions);
    return std::make_unique<FastGcm<32>>(functions);
}

std::string fast_gcm_version() {
    return library().version();
}

}  // namespace server
