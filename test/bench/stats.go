package main

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// quantile is the value that a share q of the values does not exceed, by linear interpolation; NaN of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low+1 == len(sorted) {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

func (r *Run) clientNames() []string { return slices.Sorted(maps.Keys(r.Clients)) }

// outages are those that a client saw, one for each run.
func (s *Series) outages(client string) (all []float64) {
	for _, r := range s.Runs {
		if c := r.Clients[client]; c != nil {
			all = append(all, float64(c.Outage))
		}
	}
	return all
}

// lost are the losses of a client, one for each run.
func (s *Series) lost(client string) (all []float64) {
	for _, r := range s.Runs {
		if c := r.Clients[client]; c != nil {
			all = append(all, float64(c.Lost))
		}
	}
	return all
}

// until are the times of the last acknowledgement of the old master, one for each run.
func (s *Series) until(client string) (all []float64) {
	for _, r := range s.Runs {
		if c := r.Clients[client]; c != nil {
			all = append(all, float64(c.Until))
		}
	}
	return all
}

// changes of master, one number for each run.
func (s *Series) changes() (all []float64) {
	for _, r := range s.Runs {
		all = append(all, float64(r.Changes))
	}
	return all
}

// typical is the run whose outage is nearest to the median.
func (s *Series) typical(client string) *Run {
	middle := median(s.outages(client))
	var best *Run
	for _, r := range s.Runs {
		if c := r.Clients[client]; c != nil &&
			(best == nil || math.Abs(float64(c.Outage)-middle) < math.Abs(float64(best.Clients[client].Outage)-middle)) {
			best = r
		}
	}
	return best
}

// medianSteps are the medians of the times of each step, in the order of the run that is typical.
func (s *Series) medianSteps(client string) []step {
	times := map[string][]float64{}
	for _, r := range s.Runs {
		for _, st := range r.Steps {
			times[st.Name] = append(times[st.Name], float64(st.At))
		}
	}
	typical := s.typical(client)
	if typical == nil {
		return nil
	}
	var steps []step
	for _, st := range typical.Steps {
		steps = append(steps, step{st.Name, ms(median(times[st.Name]))})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.At, b.At) })
	return steps
}

// trim forgets the acknowledgements of all runs but the typical ones, which are what a plot needs.
func (r *Result) trim() {
	for _, s := range r.Series {
		for _, run := range s.Runs {
			for name, c := range run.Clients {
				if s.typical(name) != run {
					c.Acks = nil
				}
			}
		}
	}
}
