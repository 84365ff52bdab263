#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <tuple>
#include <utility>

#include "config/checks.h"
#include "config/values.h"
#include "dmcore/bio.h"

namespace config {
namespace {

/// What makes two paths the same file; one that is not there yet is known by its full path.
struct FileIdentity {
    dev_t device = 0;
    ino_t inode = 0;
    std::string path;
    bool operator<(const FileIdentity& other) const {
        return std::tie(device, inode, path) < std::tie(other.device, other.inode, other.path);
    }
};

class StoreCheck {
  public:
    StoreCheck(Checking& checking, StoreSpec& store)
        : checking_(checking), store_(store), what_("store " + config::in_quotes(store.name)) {}

    /// True if the size of the store is known and good.
    bool file_is_good() {
        struct stat status {};
        if (stat(store_.path.c_str(), &status) == 0) {
            identity_ = {status.st_dev, status.st_ino, {}};
            return existing_is_good(status);
        }
        if (errno != ENOENT) {
            const std::error_code why(errno, std::generic_category());
            return fail({"bad-file", path() + ": " + why.message(), {}, {}});
        }
        return missing_is_good();
    }

    const FileIdentity& identity() const noexcept { return identity_; }

  private:
    std::string path() const { return what_ + ": " + config::in_quotes(store_.path); }

    bool fail(Report report) {
        checking_.found.error(store_.path_position, std::move(report));
        return false;
    }

    bool existing_is_good(const struct stat& status) {
        std::uint64_t bytes = static_cast<std::uint64_t>(status.st_size);
        if (S_ISBLK(status.st_mode)) {
            bytes = disk_bytes();
        } else if (!S_ISREG(status.st_mode)) {
            return fail({"bad-file", path() + " is neither a file nor a disk", {}, {}});
        }
        const std::uint64_t sectors = bytes / dmcore::sector_bytes;
        if (!store_.size_given) store_.size_sectors = sectors;
        if (sectors >= store_.size_sectors && store_.size_sectors > 0) return true;
        if (sectors == 0 && !store_.size_given) {
            return fail({"file-too-small",
                         path() + " is too small to hold a sector",
                         {},
                         "remove it and give size and create: true"});
        }
        return fail({"file-too-small",
                     path() + " is " + size_text(bytes) + ", less than its size of " +
                         sectors_text(store_.size_sectors),
                     {},
                     "a file that exists is never grown: remove it, or leave 'size' out"});
    }

    bool missing_is_good() {
        const auto full = std::filesystem::absolute(store_.path).lexically_normal();
        identity_.path = full.string();
        if (!store_.create) {
            return fail({"no-such-file",
                         path() + " does not exist",
                         {},
                         "create: true makes a sparse file of the 'size' given"});
        }
        if (!store_.size_given) {
            return fail({"missing-key",
                         what_ + " needs 'size' to create its file",
                         {},
                         "write size: 512MiB, or another"});
        }
        std::error_code ignored;
        if (std::filesystem::is_directory(full.parent_path(), ignored)) return true;
        return fail({"no-such-folder",
                     path() + " is in a folder that does not exist",
                     {},
                     "make the folder first"});
    }

    std::uint64_t disk_bytes() const {
        const int fd = open(store_.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0) return 0;
        const off_t end = lseek(fd, 0, SEEK_END);
        close(fd);
        return end < 0 ? 0 : static_cast<std::uint64_t>(end);
    }

    Checking& checking_;
    StoreSpec& store_;
    std::string what_;
    FileIdentity identity_;
};

}  // namespace

void check_stores(Checking& checking) {
    std::map<FileIdentity, const StoreSpec*> files;
    for (StoreSpec& store : checking.spec.stores) {
        dmcore::Limits limits;
        if (store.type == StoreSpec::Type::file) {
            if (store.path.empty()) continue;  // Reported when it was read.
            StoreCheck one(checking, store);
            const bool good = one.file_is_good();
            const auto [first, is_first] = files.emplace(one.identity(), &store);
            if (!is_first) {
                checking.found.error(store.path_position,
                                     {"file-used-twice",
                                      "stores " + config::in_quotes(first->second->name) + " and " +
                                          config::in_quotes(store.name) + " are the same file",
                                      {},
                                      "use one store, and 'offset' to share it",
                                      first->second->path_position});
            }
            if (!good) continue;
            limits.write_cache = true;
        }
        limits.discard = true;
        limits.size_sectors = store.size_sectors;
        if (limits.size_sectors > 0) checking.limits.emplace(store.name, limits);
    }
}

}  // namespace config
