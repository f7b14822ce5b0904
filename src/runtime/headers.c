/* headers.c - status and headers of a response: checked as the application gives them, and as the
 * transport takes them (RFC 9110 sections 5.1 and 5.5 for what a field may contain). */
#include "request.h"

#include "wire/head.h"

const char *rt_latin1(PyObject *str, const char *what, size_t *len)
{
    rt_assert_attached();
    if (!PyUnicode_Check(str)) {
        PyErr_Format(PyExc_TypeError, "%s must be str, not %.200s", what, Py_TYPE(str)->tp_name);
        return NULL;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(str) < 0)
        return NULL;
#endif
    if (PyUnicode_KIND(str) != PyUnicode_1BYTE_KIND) {
        PyObject *encoded =
            PyUnicode_AsLatin1String(str); /* sets the exception with the position */

        Py_XDECREF(encoded);
        return NULL;
    }
    *len = (size_t)PyUnicode_GET_LENGTH(str);
    return (const char *)PyUnicode_1BYTE_DATA(str);
}

int rt_check_status(PyObject *status)
{
    size_t len;
    const char *s = rt_latin1(status, "status", &len);
    int code;

    rt_assert_attached();
    if (!s)
        return -1;
    code = wire_parse_status(s, len);
    if (code < 0) {
        PyErr_Format(PyExc_ValueError,
                     "status %R: expected three digits and a reason, for example '200 OK'", status);
        return -1;
    }
    if (len > WIRE_REASON_MAX) {
        PyErr_Format(PyExc_ValueError, "the status is too long: %zu bytes, and %u are possible",
                     len, WIRE_REASON_MAX);
        return -1;
    }
    if (code < 200) {
        PyErr_Format(PyExc_ValueError, "status %R is interim and cannot be a final response",
                     status);
        return -1;
    }
    return code;
}

/* Adds to *size what the header takes in a HEAD frame. Returns 0, or -1 with an exception. */
static int check_header(PyObject *header, int64_t *content_length, size_t *size)
{
    const char *name, *value;
    size_t name_len, value_len;

    if (!PyTuple_Check(header)) {
        PyErr_Format(PyExc_TypeError, "each header must be a tuple (name, value), not %.200s",
                     Py_TYPE(header)->tp_name);
        return -1;
    }
    if (PyTuple_GET_SIZE(header) != 2) {
        PyErr_Format(PyExc_ValueError,
                     "each header must be a tuple (name, value), not of length %zd",
                     PyTuple_GET_SIZE(header));
        return -1;
    }
    name = rt_latin1(PyTuple_GET_ITEM(header, 0), "header name", &name_len);
    value = name ? rt_latin1(PyTuple_GET_ITEM(header, 1), "header value", &value_len) : NULL;
    if (!value)
        return -1;
    *size += 2 * sizeof(uint32_t) + name_len + value_len;
    if (!wire_is_token(name, name_len)) {
        PyErr_Format(PyExc_ValueError, "header name %R is not a token",
                     PyTuple_GET_ITEM(header, 0));
        return -1;
    }
    if (wire_has_control(value, value_len)) {
        PyErr_Format(PyExc_ValueError, "value of header %U contains a control character: %R",
                     PyTuple_GET_ITEM(header, 0), PyTuple_GET_ITEM(header, 1));
        return -1;
    }
    if (wire_is_named(name, name_len, "Transfer-Encoding")) {
        PyErr_SetString(PyExc_ValueError,
                        "Transfer-Encoding is the server's to set (PEP 3333, hop-by-hop headers)");
        return -1;
    }
    if (wire_is_named(name, name_len, "Content-Length") &&
        (*content_length = wire_parse_length(value, value_len)) < 0) {
        PyErr_SetString(PyExc_ValueError, "Content-Length must be a non-negative decimal number");
        return -1;
    }
    return 0;
}

int rt_check_headers(PyObject *headers, int64_t *content_length)
{
    size_t size = sizeof(wire_head_fixed) + WIRE_REASON_MAX;

    rt_assert_attached();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(headers); i++)
        if (check_header(PyTuple_GET_ITEM(headers, i), content_length, &size) < 0)
            return -1;
    if (size > WIRE_HEAD_MAX) {
        PyErr_Format(PyExc_ValueError,
                     "the response's headers are too large: %zu bytes, and %u are possible", size,
                     WIRE_HEAD_MAX);
        return -1;
    }
    return 0;
}

size_t rt_fill_headers(wire_header *out, PyObject *headers)
{
    size_t n = 0;

    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(headers); i++) {
        PyObject *pair = PyTuple_GET_ITEM(headers, i), *name = PyTuple_GET_ITEM(pair, 0),
                 *value = PyTuple_GET_ITEM(pair, 1);
        wire_header *h = &out[n];

        h->name = (const char *)PyUnicode_1BYTE_DATA(name);
        h->name_len = (size_t)PyUnicode_GET_LENGTH(name);
        h->value = (const char *)PyUnicode_1BYTE_DATA(value);
        h->value_len = (size_t)PyUnicode_GET_LENGTH(value);
        n += !wire_is_named(h->name, h->name_len, "Content-Length");
    }
    return n;
}

void rt_head_fill(wire_response *head, wire_header *headers, const rt_request *rq)
{
    size_t status_len = (size_t)PyUnicode_GET_LENGTH(rq->status);

    *head = (wire_response){.status = rq->status_code,
                            .reason = "",
                            .content_length = rq->content_length,
                            .headers = headers};
    if (status_len > 4) {
        head->reason = (const char *)PyUnicode_1BYTE_DATA(rq->status) + 4;
        head->reason_len = status_len - 4;
    }
    head->nheaders = rt_fill_headers(headers, rq->headers);
}
