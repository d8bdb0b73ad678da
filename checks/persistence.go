package checks

import "time"

// PersistenceLimits are for the age of changes that a server without an append-only file has not saved.
// 0 turns a limit off.
type PersistenceLimits struct {
	Warning, Critical time.Duration
}

// DefaultPersistenceLimits: Redis saves after an hour if a single key changed (save 3600 1), so after two one
// was missed. It is not critical: a cache may do without any.
func DefaultPersistenceLimits() PersistenceLimits {
	return PersistenceLimits{Warning: 2 * time.Hour}
}

// Persistence says whether what the server holds is on disk. See redis.io, "Redis persistence".
func Persistence(s Server, l PersistenceLimits) Result {
	i, unknown := s.info(NamePersistence)
	switch {
	case i == nil:
		return unknown
	case i.Loading:
		return result(NamePersistence, Warning, "%s", i.loading())
	case i.AOFEnabled && !i.AOFLastOK:
		return result(NamePersistence, Critical, "the last write to the append-only file failed: "+
			"see the disk's space and the server's log; until it succeeds, no writes are taken")
	case !i.RDBLastSaveOK:
		return result(NamePersistence, Warning, "the last save failed, %s: "+
			"see the disk's space, vm.overcommit_memory and the server's log", i.unsaved())
	case i.AOFEnabled:
		return result(NamePersistence, Passing, "append-only file written%s, %s", i.saving(), i.unsaved())
	case i.RDBChanges <= 0:
		return result(NamePersistence, Passing, "everything saved%s%s", i.savedAt(), i.saving())
	}
	status := above(i.RDBSavedAgo, l.Warning, l.Critical)
	mend := limit(status, l.Warning, l.Critical, span)
	if status != Passing {
		mend += ": a restart loses them; set save, or appendonly yes"
	}
	return result(NamePersistence, status, "%s%s%s", i.unsaved(), i.saving(), mend)
}

// unsaved says what the last save does not hold.
func (i *Info) unsaved() string {
	return count(max(0, i.RDBChanges), "change") + " since the last save" + i.savedAt()
}

// savedAt says when the last save was, by the clock of the agent's machine: how long ago would change with every look.
func (i *Info) savedAt() string {
	if i.RDBSavedAt.IsZero() {
		return ""
	}
	return " at " + i.RDBSavedAt.UTC().Format("2006-01-02 15:04 UTC")
}

// saving says that a save is in progress.
func (i *Info) saving() string {
	if i.RDBInProgress {
		return ", a save is in progress"
	}
	return ""
}
