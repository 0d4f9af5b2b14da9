// SPDX-License-Identifier: Apache-2.0
// The memory of a container that is to become an image: copied in rounds while it runs, or looked at while it
// stands still.
#pragma once

#include "image/page_source.hpp"
#include "source/sink.hpp"
#include <atomic>
#include <memory>

namespace pclive {

class MemoryCopy {
  public:
    virtual ~MemoryCopy() = default;
    /// Takes one round, or the final one. `nice` of its threads; it ends with the error "aborted" once
    /// `stopped`.
    virtual std::unique_ptr<Sink> sink(int nice, const std::atomic<bool> &stopped) = 0;
    /// What the last final round found, for an image. `inParent`: such pages as are in the last image,
    /// unchanged, are marked.
    [[nodiscard]] virtual std::vector<image::ProcessPages> pages(bool inParent) const = 0;
    /// These pages were written to an image.
    virtual void written() = 0;
};

/// The pages are copied into the engine's memory, or into an unlinked file in `spool` where the host has too
/// little of it.
std::unique_ptr<MemoryCopy> makeMirrors(const std::string &spool);
/// The pages are read from the processes when the image is written: they must stand still until then.
std::unique_ptr<MemoryCopy> makeStillCopy();

} // namespace pclive
