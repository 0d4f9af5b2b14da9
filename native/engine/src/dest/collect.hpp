// SPDX-License-Identifier: Apache-2.0
// Memory collected in CRIU's own iterative images, for the strategy that restores by CRIU's stock logic.
//
//   <imageDir>/rounds/<n>/pagemap-<vpid>.img, pages-<vpid>.img   what round n brought; the rest is "in
//   parent" <imageDir>/rounds/<n>/parent -> ../<n-1> <imageDir>/parent -> rounds/<last> made by finish()
//   <imageDir>/pagemap-<vpid>.img                                 the skeleton's, with our pages added as "in
//   parent"
//
// So nothing is copied in the pause: the skeleton's own pages image stays as it came.
#pragma once

#include "dest/extents.hpp"
#include "dest/files.hpp"
#include "dest/store.hpp"
#include "image/pagemap.hpp"

namespace pclive::dest {

class ImageStore final : public Store {
  public:
    /// Error "files".
    explicit ImageStore(const std::string &imageDir);

    Rest write(Process &process, const wire::PageList &pages) override;
    void drop(Process &, std::span<const Range>) override {} // what is not in process.pages is in no pagemap
    void roundEnded(std::span<Process *const> processes, uint32_t round) override;

    /// Joins the rounds to the skeleton, whose files must be complete. Errors: "images", "files", "no-space".
    void finish(std::span<Process *const> processes);

  private:
    struct Spool {
        Fd fd;
        uint64_t size = 0;
        Extents extents;
    };
    void openRound();
    Spool &spool(uint32_t vpid);
    image::Pagemap describe(const Process &process, const Spool &spool, bool &inOrder) const;
    void rewrite(uint32_t vpid, Spool &spool, const Process &process);
    void merge(const Process &process);

    Fd imageDir_, rounds_, current_;
    uint32_t round_ = 0; // of current_
    std::map<uint32_t, Spool> spools_;
};

} // namespace pclive::dest
