// The JavaScript and its code cache as read-only pages of the file. SOURCE_FILE and CACHE_FILE are given by the build.
	.section .rodata.pclive, "a"
	.global pclive_source_begin, pclive_source_end, pclive_cache_begin, pclive_cache_end
	.hidden pclive_source_begin, pclive_source_end, pclive_cache_begin, pclive_cache_end
	.balign 4096
pclive_source_begin:
	.incbin SOURCE_FILE
pclive_source_end:
	.balign 4096
pclive_cache_begin:
	.incbin CACHE_FILE
pclive_cache_end:
	.section .note.GNU-stack, "", %progbits
