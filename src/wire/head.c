#include "head.h"

int wire_is_token(const char *s, size_t len)
{
    static const char is_part[256] = {
        ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['!'] = 1, ['#'] = 1, ['$'] = 1,
        ['%'] = 1,         ['&'] = 1,         ['\''] = 1,        ['*'] = 1, ['+'] = 1, ['-'] = 1,
        ['.'] = 1,         ['^'] = 1,         ['_'] = 1,         ['`'] = 1, ['|'] = 1, ['~'] = 1,
    };

    for (size_t i = 0; i < len; i++)
        if (!is_part[(unsigned char)s[i]])
            return 0;
    return len > 0;
}

int wire_has_control(const char *s, size_t len)
{
    int found = 0;

    for (size_t i = 0; i < len; i++) /* to the end in any case, so that the compiler can look at
                                        many at once */
        found |= ((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f;
    return found;
}

int wire_parse_status(const char *s, size_t len)
{
    if (len < 3 || s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' ||
        s[2] > '9' || (len > 3 && s[3] != ' ') || wire_has_control(s, len))
        return -1;
    return (s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0');
}

int64_t wire_parse_length(const char *s, size_t len)
{
    int64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9' || value > (INT64_MAX - 9) / 10)
            return -1;
        value = value * 10 + (s[i] - '0');
    }
    return len > 0 ? value : -1;
}

/* ---- payload ---- */

size_t wire_head_size(const wire_response *head)
{
    size_t size = sizeof(wire_head_fixed) + head->reason_len;

    if (head->reason_len > UINT16_MAX || head->nheaders > WIRE_HEAD_MAX / 8)
        return 0;
    for (size_t i = 0; i < head->nheaders; i++) {
        if (head->headers[i].name_len > WIRE_HEAD_MAX || head->headers[i].value_len > WIRE_HEAD_MAX)
            return 0;
        size += 8 + head->headers[i].name_len + head->headers[i].value_len;
    }
    return size <= WIRE_HEAD_MAX ? size : 0;
}

static char *put(char *to, const void *from, size_t len)
{
    if (len)
        memcpy(to, from, len);
    return to + len;
}

void wire_head_write(char *to, const wire_response *head)
{
    wire_head_fixed fixed = {.content_length = head->content_length,
                             .status = (uint16_t)head->status,
                             .reason_len = (uint16_t)head->reason_len,
                             .nheaders = (uint32_t)head->nheaders};

    to = put(to, &fixed, sizeof(fixed));
    to = put(to, head->reason, head->reason_len);
    for (size_t i = 0; i < head->nheaders; i++) {
        const wire_header *h = &head->headers[i];
        uint32_t lengths[2] = {(uint32_t)h->name_len, (uint32_t)h->value_len};

        to = put(to, lengths, sizeof(lengths));
        to = put(to, h->name, h->name_len);
        to = put(to, h->value, h->value_len);
    }
}

int wire_head_open(wire_response *head, const char *bytes, size_t len)
{
    wire_head_fixed fixed;

    if (len < sizeof(fixed))
        return -1;
    memcpy(&fixed, bytes, sizeof(fixed));
    len -= sizeof(fixed);
    /* Every header takes at least 8 bytes, so a short payload cannot make its reader allocate for
     * many. */
    if (fixed.status < 100 || fixed.status > 999 || fixed.content_length < -1 ||
        fixed.reason_len > len || fixed.nheaders > (len - fixed.reason_len) / 8)
        return -1;
    *head = (wire_response){.status = fixed.status,
                            .reason = bytes + sizeof(fixed),
                            .reason_len = fixed.reason_len,
                            .content_length = fixed.content_length,
                            .nheaders = fixed.nheaders};
    return 0;
}

int wire_head_read(wire_response *head, wire_header *headers, const char *bytes, size_t len)
{
    const char *at = head->reason + head->reason_len, *end = bytes + len;

    for (size_t i = 0; i < head->nheaders; i++) {
        uint32_t lengths[2];

        if ((size_t)(end - at) < sizeof(lengths))
            return -1;
        memcpy(lengths, at, sizeof(lengths));
        at += sizeof(lengths);
        if ((size_t)(end - at) < (size_t)lengths[0] + lengths[1])
            return -1;
        headers[i] = (wire_header){at, lengths[0], at + lengths[0], lengths[1]};
        at += (size_t)lengths[0] + lengths[1];
    }
    head->headers = headers;
    return at == end ? 0 : -1;
}

int wire_head_is_hints(const wire_response *head)
{
    for (size_t i = 0; i < head->nheaders; i++) {
        const wire_header *h = &head->headers[i];

        if (!wire_is_token(h->name, h->name_len) || wire_has_control(h->value, h->value_len))
            return 0;
    }
    return head->status == 103;
}
