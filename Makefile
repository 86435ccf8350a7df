EXTENSION    = playevent
MODULE_big   = playevent
OBJS         = $(patsubst %.c,%.o,$(wildcard src/*.c))
DATA         = $(wildcard sql/playevent--*--*.sql) $(wildcard sql/released/*.sql)
DATA_built   = sql/playevent--$(version).sql

version     := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" playevent.control)
release     := $(shell sed -n 's/^   "version": "\(.*\)",/\1/p' META.json)
parts        = $(sort $(wildcard sql/parts/*.sql))

PG_CONFIG   ?= pg_config

# What tests there are is what the folders hold; sketches need the extension hll.
REGRESS      = $(patsubst test/sql/%.sql,%,$(wildcard test/sql/*.sql))
REGRESS_OPTS = --inputdir=test
ISOLATION    = $(filter-out $(untestable),$(patsubst test/specs/%.spec,%,$(wildcard test/specs/*.spec)))
untestable   = $(if $(wildcard $(shell $(PG_CONFIG) --sharedir)/extension/hll.control),,p4_listeners p7_restored_verdicts p12_verdicts)
ISOLATION_OPTS = --inputdir=test --outputdir=.
TAP_TESTS    = 1
PROVE_TESTS  = test/t/*.pl

# These bring along what they need, so they must run where pg_config is missing.
standalone   = demo test try try-stop bench bench-instructions lint coverage \
               test-valgrind test-assert test-majors test-citus test-package deb dist
ifneq ($(filter $(standalone) $(DATA_built),$(MAKECMDGOALS)),)

.PHONY: $(standalone)
demo:
	@KEEP='$(KEEP)' WEB='$(WEB)' bash test/demo/demo.sh
bench:
	@bash test/bench/bench.sh
bench-instructions:
	@bash test/bench/instructions.sh
test:
	@ONLY='$(ONLY)' bash test/run.sh
try:
	@FILE='$(FILE)' bash test/try.sh
try-stop:
	@STOP=1 bash test/try.sh
lint coverage:
	@bash test/check/$@.sh
test-valgrind test-assert test-majors test-citus:
	@bash test/check/$(@:test-%=%).sh
test-package deb dist:
	@bash test/package/$(@:test-%=%).sh

else

PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(wildcard src/*.h)
src/playevent.o src/playevent.bc: override CPPFLAGS += -DPLAYEVENT_RELEASE='"$(release)"'
src/playevent.o src/playevent.bc: META.json

# Its event triggers would be called without a library.
.PHONY: remind
uninstall: remind
remind:
	@echo 'Databases that still have the extension need: DROP EXTENSION playevent CASCADE' >&2

endif

# The install script is its parts, in the order of their names.  Their folder
# tells when one is gone.
$(DATA_built): $(parts) sql/parts playevent.control
	cat $(parts) > $@
