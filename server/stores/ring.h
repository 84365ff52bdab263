#pragma once

#include <asio/io_context.hpp>
#include <memory>

#include "dmcore/agenda.h"
#include "server/stores/file.h"

namespace server {

/// One shard's io_uring: reads and writes of file stores, handed to the kernel together at the end
/// of a turn; earlier if there is no more room, or one is in another's way. Used on its shard only.
class FileRing {
  public:
    /// What the ring could not do, or not wholly: to be done by threads.
    class Fallback {
      public:
        virtual ~Fallback() = default;
        virtual void hand_over(FileStore::Bios& run) noexcept = 0;
    };

    /// Null where the kernel, or a seccomp filter, refuses it, or this build has no liburing.
    static std::unique_ptr<FileRing> open(asio::io_context& io, dmcore::Agenda& agenda);
    virtual ~FileRing() = default;

    /// Takes a run of reads or writes, as FileStore::take_run() gave it, none of them FUA. They end
    /// later, or come to `fallback`. False, and nothing is taken: it is full, or a write that is
    /// under way elsewhere is in the way [O-8].
    virtual bool submit(FileStore& store, FileStore::Bios& run, Fallback& fallback) noexcept = 0;
};

}  // namespace server
