/* SPDX-License-Identifier: Apache-2.0 */
/* A program that CRIU cannot dump: it holds an io_uring. */
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    struct io_uring_params params;

    memset(&params, 0, sizeof(params));
    if (syscall(SYS_io_uring_setup, 4, &params) < 0) {
        perror("uring: io_uring_setup");
        return 1;
    }
    for (;;)
        pause();
}
