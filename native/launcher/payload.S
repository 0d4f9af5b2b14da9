// The shim's three scripts and V8's code caches of them, as read-only pages of the file. The assembler's search path (-I)
// leads to NAME.js and NAME.cache.
	.section .rodata.pclive, "a"
	.macro blob symbol, file
	.global \symbol\()_begin, \symbol\()_end
	.hidden \symbol\()_begin, \symbol\()_end
	.balign 4096
\symbol\()_begin:
	.incbin "\file"
\symbol\()_end:
	.endm
	blob pclive_start_source, start.js
	blob pclive_start_cache, start.cache
	blob pclive_rest_source, rest.js
	blob pclive_rest_cache, rest.cache
	blob pclive_zod_source, zod.js
	blob pclive_zod_cache, zod.cache
	.section .note.GNU-stack, "", %progbits
