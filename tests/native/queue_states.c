/* queue_states.c - the states that were reached, and the steps between them. */
#include "queue_model.h"

state *states;
size_t nstates;
static uint32_t *table, *edges, *first_edge;
static size_t room, table_size, nedges, edge_room;
static char *can_rest;

static void grow(void)
{
    room = room ? room * 2 : 1 << 16;
    states = realloc(states, room * sizeof(*states));
    first_edge = realloc(first_edge, (room + 1) * sizeof(*first_edge));
    can_rest = realloc(can_rest, room);
    table_size = room * 4;
    free(table);
    table = calloc(table_size, sizeof(*table));
    if (!states || !first_edge || !can_rest || !table)
        abort();
}

static size_t slot_of(const state *wanted)
{
    const unsigned char *bytes = (const unsigned char *)wanted;
    uint64_t hash = 14695981039346656037u;
    size_t slot;

    for (size_t i = 0; i < sizeof(*wanted); i++)
        hash = (hash ^ bytes[i]) * 1099511628211u;
    slot = (hash ^ hash >> 29) & (table_size - 1);
    while (table[slot] && memcmp(&states[table[slot] - 1], wanted, sizeof(*wanted)) != 0)
        slot = (slot + 1) & (table_size - 1);
    return slot;
}

static int compare_threads(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(thread));
}

/* The threads of a worker are alike. Of `news` only matters whether it is odd, and of what was seen
 * of it whether it is odd and still the same. */
static void normalise(void)
{
    uint8_t news = s.news & 1 ? 3 : 2;

    for (int w = 0; w < WORKERS; w++) {
        for (int t = 0; t < counts[w]; t++) {
            uint8_t *seen = &s.workers[w].threads[t].seen;

            *seen = news == 3 && *seen == s.news ? 3 : 0;
        }
        qsort(s.workers[w].threads, (size_t)counts[w], sizeof(thread), compare_threads);
    }
    s.news = news;
}

uint32_t enter(void)
{
    size_t slot;

    normalise();
    if (nstates == room) {
        grow();
        for (size_t i = 0; i < nstates; i++)
            table[slot_of(&states[i])] = (uint32_t)i + 1;
    }
    slot = slot_of(&s);
    if (!table[slot]) {
        states[nstates++] = s;
        table[slot] = (uint32_t)nstates;
    }
    return table[slot] - 1;
}

void add_edge(uint32_t to)
{
    if (nedges == edge_room) {
        edge_room = edge_room ? edge_room * 2 : 1 << 18;
        edges = realloc(edges, edge_room * sizeof(*edges));
        if (!edges)
            abort();
    }
    edges[nedges++] = to;
}

void begin_edges(void)
{
    first_edge[at] = (uint32_t)nedges;
    can_rest[at] = 0;
}

void note_rest(void)
{
    can_rest[at] = 1;
}

void check_progress(void)
{
    size_t changed = 1;

    first_edge[nstates] = (uint32_t)nedges;
    while (changed) {
        changed = 0;
        for (size_t i = nstates; i-- > 0;)
            for (size_t e = first_edge[i]; !can_rest[i] && e < first_edge[i + 1]; e++)
                if (can_rest[edges[e]]) {
                    can_rest[i] = 1;
                    changed++;
                }
    }
    for (size_t i = 0; i < nstates; i++)
        if (!can_rest[i]) {
            s = states[i];
            fail("steps go on for ever");
        }
}
