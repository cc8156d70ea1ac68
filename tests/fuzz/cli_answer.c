/* Any bytes as the admin listener's whole answer: refused with a line, or a body that lies inside what was
 * read. */
#include <assert.h>
#include <stdlib.h>

#include "cli/cli_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cli_answer answer = {0};
    struct fault fault = {""};
    struct buf raw;
    buf_init(&raw, 1 << 20);
    if (buf_append(&raw, data, size) == 0) {
        int rc = cli_answer_parse(&raw, &answer, &fault);
        if (rc) {
            assert(rc == ERR_SYNTAX && fault.text[0]);
        } else {
            assert(answer.status >= 200 && answer.status <= 599);
            assert(answer.body.ptr >= raw.ptr && answer.body.ptr + answer.body.len <= raw.ptr + raw.len);
        }
    }
    buf_deinit(&raw);
    return 0;
}
