#include "engine/text/jinja_path.h"

#include "engine/text/jinja_builtin.h"
#include "engine/text/jinja_number.h"
#include "engine/text/jinja_unicode.h"

#include <string.h>

static bool is_index(const struct jinja_text *part)
{
    bool digits = part->length > 0;
    for (size_t i = 0; i < part->length; i++)
        digits = digits && part->bytes[i] >= '0' && part->bytes[i] <= '9';
    return digits;
}

static struct jinja_value step(struct jinja_run *run, struct jinja_value item, const struct jinja_text *part)
{
    int64_t index;
    if (is_index(part) && number_read_int(part, 10, &index))
        return value_item(run, item, value_int(index));
    return value_item(run, item, value_text(part));
}

struct jinja_value path_get(struct jinja_run *run, struct jinja_value item, struct jinja_value attribute,
                            struct jinja_value otherwise)
{
    bool stands_in = value_given(otherwise) && otherwise.kind != JINJA_NONE;
    if (!value_given(attribute) || attribute.kind == JINJA_NONE)
        return item;
    if (attribute.kind != JINJA_STRING) {
        item = value_item(run, item, attribute);
        return item.kind == JINJA_UNDEFINED && stands_in ? otherwise : item;
    }
    const struct jinja_text *path = attribute.text;
    for (size_t begin = 0; begin <= path->length && run_work(run, 1);) {
        size_t end = begin;
        while (end < path->length && path->bytes[end] != '.')
            end++;
        item = step(run, item, text_bytes(run, path, begin, end));
        if (item.kind == JINJA_UNDEFINED && stands_in)
            item = otherwise;
        begin = end + 1;
    }
    return item;
}

struct jinja_value path_key(struct jinja_run *run, struct jinja_value item, struct jinja_value attribute,
                            bool case_sensitive)
{
    struct jinja_value key = path_get(run, item, attribute, value_missing());
    return key.kind == JINJA_STRING && !case_sensitive ? text_map_case(run, key.text, UNICODE_LOWER) : key;
}
