# Doxygen takes the percent sign from a word that begins with one, in `code` too: "%rsp" is read as
# "rsp". Outside of fenced code, which it leaves alone, it gets two.
/^ *```/,/^ *```/!s/%\([a-z]\)/%%\1/g
