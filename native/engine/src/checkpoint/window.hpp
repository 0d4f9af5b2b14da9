// SPDX-License-Identifier: Apache-2.0
// Where copied memory lies: windows of a gigabyte of the engine's address space, made as they are needed.
#pragma once

#include "control/fd.hpp"
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pclive {

inline constexpr uint64_t kWindowBytes = 1ull << 30;
inline constexpr uint64_t kHugeBytes = 2u << 20;

/// Bytes that the host can give without swapping or killing (MemAvailable).
uint64_t availableMemory();

/// The spool: an unlinked file that takes windows for which there is no memory.
class SpoolFile {
  public:
    /// Errors: "files" with the folder.
    explicit SpoolFile(std::string folder);
    /// The offset of a window that nobody uses.
    uint64_t takeWindow();
    void giveWindow(uint64_t offset) noexcept;
    /// Sees to it that these bytes have their place on the disk: to find out later, in the mapping, would be
    /// deadly. Error "no-space".
    void provide(uint64_t offset, uint64_t bytes);
    [[nodiscard]] int fd() const { return fd_.get(); }

  private:
    std::string folder_;
    Fd fd_;
    uint64_t end_ = 0;
    std::vector<uint64_t> free_;
};

/// kWindowBytes, aligned for huge pages. Offsets count from its beginning.
class Window {
  public:
    /// In memory, or in the spool. Error "no-memory".
    explicit Window(std::shared_ptr<SpoolFile> spool);
    ~Window();
    Window(const Window &) = delete;
    Window &operator=(const Window &) = delete;

    [[nodiscard]] uint8_t *at(uint64_t offset) const { return base_ + offset; }
    [[nodiscard]] bool spooled() const { return spool_ != nullptr; }
    [[nodiscard]] bool huge(uint64_t offset) const { return huge_[offset / kHugeBytes]; }
    /// Asks for huge pages in whole blocks of kHugeBytes; not in the spool.
    void makeHuge(uint64_t offset, uint64_t bytes);
    /// Before these bytes are written to. Error "no-space".
    void provide(uint64_t offset, uint64_t bytes);
    /// Forgets the contents and gives the memory back.
    void discard(uint64_t offset, uint64_t bytes);

  private:
    std::shared_ptr<SpoolFile> spool_;
    uint64_t inSpool_ = 0;
    uint8_t *base_ = nullptr;
    std::bitset<kWindowBytes / kHugeBytes> huge_;
};

/// Decides where windows lie.
class WindowMaker {
  public:
    WindowMaker(std::string spool, std::function<uint64_t()> available)
        : spoolFolder_(std::move(spool)), available_(std::move(available)) {}
    /// `bytes`: how much will soon be written, to this one and to others just made.
    std::unique_ptr<Window> make(uint64_t bytes);

  private:
    std::string spoolFolder_;
    std::function<uint64_t()> available_;
    std::shared_ptr<SpoolFile> spool_;
};

} // namespace pclive
