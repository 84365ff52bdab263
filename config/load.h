#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <tl/expected.hpp>

#include "config/diagnostic.h"
#include "config/source.h"
#include "config/spec.h"

namespace config {

/// The size in bytes of a store of type nbd, or why it can't be told.
using RemoteSize = std::function<tl::expected<std::uint64_t, std::string>(const StoreSpec& store)>;

/// What is wrong with a file that a `tls` block names, and where it is named.
struct TlsTrouble {
    Position at;
    Report report;
};
using TlsCheck = std::function<std::optional<TlsTrouble>(const TlsSpec& tls)>;

/// What a table file may see of its surroundings.
struct Surroundings {
    /// Value of an environment variable; nothing if it is unset. Default: the process's own.
    std::function<std::optional<std::string>(const std::string& name)> variable{};
    /// What forbids to touch a file that the text names, an include or a store; nothing: it may
    /// be. Default: all may be.
    std::function<std::optional<std::string>(const std::string& path)> forbids{};
    /// Hears of each file that was read, or was to be: then its text is empty.
    std::function<void(const std::string& path, const std::string& text)> on_read{};
    /// Asks a remote store how large it is. Default: nobody can.
    RemoteSize remote_size{};
    /// Judges what the files of `tls` hold; that they can be read is known. Default: nobody does.
    TlsCheck tls{};
};

/// Reads and checks a table file and those it includes. Opens no store; looks at the size of
/// existing files. Nothing if there are errors; `found` has them all, and warnings and notes in any
/// case.
std::optional<Spec> load_file(const std::string& path, Diagnostics& found,
                              const Surroundings& around = {});

/// The same for a text that is at hand, called `name` in messages; its includes are relative to the
/// working folder.
std::optional<Spec> load_text(std::string name, std::string text, Diagnostics& found,
                              const Surroundings& around = {});

}  // namespace config
