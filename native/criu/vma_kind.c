// SPDX-License-Identifier: GPL-2.0-only
/* Which mappings may be staged at all. */
#include <sys/mman.h>

#include "vma.h"

#include "overlay.h"

bool vma_can_be_staged(const struct vma_area *vma) {
    static const unsigned int never[] = {VMA_AREA_VSYSCALL, VMA_AREA_VDSO,   VMA_AREA_VVAR,  VMA_AREA_AIORING,
                                         VMA_AREA_SYSVIPC,  VMA_AREA_SOCKET, VMA_AREA_SHSTK, VMA_EXT_PLUGIN};

    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        if (vma->e->status & never[i])
            return false;
    return vma_area_is(vma, VMA_AREA_REGULAR) && vma_area_is(vma, VMA_ANON_PRIVATE) &&
           !(vma->e->flags & (MAP_GROWSDOWN | MAP_HUGETLB));
}
