# Makes a C source of a file: cmake -DIN=FILE -DOUT=FILE.c -DNAME=symbol -P tools/embed.cmake
# It defines `const char NAME[]`, the bytes and a NUL, and `const unsigned long NAME_length` without it.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR length "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)" "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "extern const char ${NAME}[];\nextern const unsigned long ${NAME}_length;\n\n"
  "const char ${NAME}[] = {\n${bytes}0};\nconst unsigned long ${NAME}_length = ${length};\n")
