/* A binary heap of lanes by due_ns. Its room is made when a lane is made (queue.c). */
#include "limit_internal.h"

static void place(struct queue *queue, size_t i, struct limit_lane *lane)
{
    queue->heap[i] = lane;
    lane->heap_at = i + 1;
}

static void sift_up(struct queue *queue, size_t i, struct limit_lane *lane)
{
    while (i > 0 && queue->heap[(i - 1) / 2]->due_ns > lane->due_ns) {
        place(queue, i, queue->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(queue, i, lane);
}

static void sift_down(struct queue *queue, size_t i, struct limit_lane *lane)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < queue->heap_len && queue->heap[child + 1]->due_ns < queue->heap[child]->due_ns)
            child++;
        if (child >= queue->heap_len || queue->heap[child]->due_ns >= lane->due_ns)
            break;
        place(queue, i, queue->heap[child]);
        i = child;
    }
    place(queue, i, lane);
}

void heap_put(struct queue *queue, struct limit_lane *lane)
{
    sift_up(queue, queue->heap_len++, lane);
}

void heap_take(struct queue *queue, struct limit_lane *lane)
{
    size_t i = lane->heap_at - 1;
    struct limit_lane *last = queue->heap[--queue->heap_len];
    lane->heap_at = 0;
    if (last == lane)
        return;
    if (i > 0 && queue->heap[(i - 1) / 2]->due_ns > last->due_ns)
        sift_up(queue, i, last);
    else
        sift_down(queue, i, last);
}
