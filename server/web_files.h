/* The page's files, compiled in from web/ (web/embed.cmake writes the table). */
#ifndef VARGPT_SERVER_WEB_FILES_H
#define VARGPT_SERVER_WEB_FILES_H

#include <stddef.h>

struct web_file {
    const char *name; /* "app.js" */
    const char *content_type;
    const char *etag; /* with its quotes; changes with the contents */
    const unsigned char *data;
    size_t size;
};
extern const struct web_file web_files[]; /* ends with name NULL */

#endif
