/* rollout_read_accounts on any body: what is accepted has an id each, in memory that lives. */
#include <stdint.h>
#include <stdlib.h>

#include "rollout/rollout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rollout_accounts accounts;
    struct arena arena;
    struct buf path;
    arena_init(&arena, NULL, 0, 65536);
    int error = rollout_read_accounts(slice_of((const char *)data, size), &arena, &accounts);
    must(error == 0 || accounts.count == 0);
    must(accounts.count <= ROLLOUT_ACCOUNTS_MAX);
    for (size_t i = 0; i < accounts.count; i++) {
        const struct rollout_account *account = &accounts.at[i];
        must(account->id.len > 0 && account->app_key.ptr && account->label.ptr);
        buf_init(&path, 65536);
        if (rollout_disconnect_path(&path, account->id) == 0)
            must(slice_find(buf_slice(&path), ' ') == path.len &&
                 slice_find(buf_slice(&path), '&') == path.len);
        buf_deinit(&path);
    }
    arena_reset(&arena);
    return 0;
}
