# What concerns the tree as a whole, and the ways to test all of it.

dist_check_SCRIPTS += %D%/docs.sh %D%/install.sh %D%/readme.sh \
	%D%/systemd.sh
EXTRA_DIST += %D%/gate %D%/check-full %D%/packages %D%/cppcheck.suppress %D%/valgrind.supp .clang-tidy

# What takes too long for every change: see the head of the script.  STAGES
# names some of its stages.
.PHONY: check-full
check-full:
	@$(SHELL) $(top_srcdir)/%D%/check-full $(top_srcdir) check-full \
	    $(STAGES)

clean-local: clean-check-full
.PHONY: clean-check-full
clean-check-full:
	rm -rf check-full
