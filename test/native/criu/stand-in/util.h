/* SPDX-License-Identifier: Apache-2.0 */
/* In the place of CRIU's. */
#include <limits.h>
