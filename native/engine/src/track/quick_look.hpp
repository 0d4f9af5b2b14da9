// SPDX-License-Identifier: Apache-2.0
// Leaving out what has certainly not changed, before a look goes from page to page.
#pragma once

#include "track/page_set.hpp"
#include "track/pagemap.hpp"

namespace pclive {

/// Whether the running kernel does what doubtful() relies on. Asked once, of memory of our own.
bool canLookQuickly();

/// The parts of the sorted `areas` that have to be looked at page by page. All pages outside of them are
/// `known` ones, hold contents, and are write-protected as the last look left them: not written since.
///
/// The kernel has a way through its page tables for the one question which pages are not protected, several
/// times as fast as that for any other. Pages without contents count as not protected in it, if there is a
/// table for them; where there may be none, which is a matter of 2 MiB each, one page is asked for. Error
/// "scan".
Ranges doubtful(const Pagemap &pagemap, const Ranges &areas, const PageSet &known);

} // namespace pclive
