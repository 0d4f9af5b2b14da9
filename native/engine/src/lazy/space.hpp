// SPDX-License-Identifier: Apache-2.0
// One address space with missing pages, and its userfaultfd.
#pragma once

#include "control/error.hpp"
#include "control/fd.hpp"
#include "lazy/page_map.hpp"
#include <linux/userfaultfd.h>

namespace pclive::lazy {

/// What became of an attempt to fill pages.
enum class Filled {
    done,
    busy, ///< the process is changing its mappings: read its messages, then try again
    gone, ///< the address space has ended
};

class Space {
  public:
    /// Takes over a userfaultfd that is set up.
    explicit Space(Fd fd) : fd_(std::move(fd)) {}
    /// The copy of a fork: what is missing in the parent is missing in the child.
    Space(Fd fd, const Space &parent) : todo(parent.todo), fd_(std::move(fd)) {}

    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Error "no-lazy".
    void watch(uint64_t start, uint64_t end);
    /// Places `bytes` at the part's addresses and takes it off the list, but for what stays to be done when
    /// it was busy. Pages that are there already stay; what is not mapped any more is passed over. Error
    /// "lazy-memory".
    Filled fill(const Part &part, const uint8_t *bytes);
    /// A page that no image has.
    Filled zero(uint64_t page);
    /// Lets threads that wait for the page look again.
    void wake(uint64_t page) const;
    /// The next message; false when there is none.
    bool receive(uffd_msg &message) const;

    PageMap todo;

  private:
    Fd fd_;
};

/// Sets up CRIU's userfaultfd. Error "no-lazy" when the kernel cannot tell us of forks and moves.
void enable(int userfaultfd);

} // namespace pclive::lazy
