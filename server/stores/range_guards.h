#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace server {

/// Keeps a read and a write of the same 64 KiB of a file apart [O-8]: file systems don't promise
/// that by themselves. Any thread; what one thread has locked another may unlock.
class RangeGuards {
  public:
    /// A range, held alone or with other readers until this goes.
    class Hold {
      public:
        Hold(RangeGuards& guards, std::uint64_t at, std::uint64_t bytes, bool exclusive) noexcept;
        ~Hold();
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

        void lock() noexcept;
        /// False: somebody holds part of it.
        bool try_lock() noexcept;

      private:
        template <class Visit>
        void for_each(Visit&& visit);

        RangeGuards& guards_;
        const bool exclusive_;
        bool all_ = false;
        bool held_ = false;
        std::size_t begin_ = 0;
        std::size_t count_ = 0;
    };

  private:
    /// Many readers or one writer, without an owner: I/O is begun here and may end elsewhere.
    class Guard {
      public:
        void lock(bool exclusive) noexcept;
        bool try_lock(bool exclusive) noexcept;
        void unlock(bool exclusive) noexcept;

      private:
        static constexpr std::int32_t written = -1;
        std::atomic<std::int32_t> readers_{0};
    };

    static constexpr std::size_t guard_count = 256;
    std::array<Guard, guard_count> all_;  // Blocks share them.
};

}  // namespace server
