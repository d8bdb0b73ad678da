package peers

import (
	"context"
	"errors"
	"time"
)

// Where fifty masters end in one moment, their groups have something to tell in the same. What is to be told to an agent while
// something is on its way to it waits, and all of it goes along with the next: that takes one connection and a few messages.

// maxLetters go in one message.
const maxLetters = 256

// recipient is an agent, and where it is.
type recipient struct{ address, agent string }

// letter is something to be told. Nobody reads the outcome after the deadline.
type letter struct {
	news     News
	deadline time.Time
	outcome  chan error // has room for it
}

// Tell tells the agent something about a group, and returns when it has taken that in.
func (c *Client) Tell(ctx context.Context, address, agent string, n News) error {
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = time.Now().Add(answerTimeout)
	}
	l := letter{n, deadline, make(chan error, 1)}
	to := recipient{address, agent}
	c.mu.Lock()
	waiting, underWay := c.mail[to]
	c.mail[to] = append(waiting, l)
	c.mu.Unlock()
	if !underWay {
		go c.deliver(to)
	}
	select {
	case err := <-l.outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliver tells an agent what waits, until nothing does.
func (c *Client) deliver(to recipient) {
	for {
		c.mu.Lock()
		letters := c.mail[to]
		if len(letters) == 0 {
			delete(c.mail, to)
			c.mu.Unlock()
			return
		}
		n := min(len(letters), maxLetters)
		c.mail[to] = letters[n:]
		c.mu.Unlock()
		c.send(to, letters[:n])
	}
}

// send tells an agent all of some letters that somebody still waits for.
func (c *Client) send(to recipient, letters []letter) {
	var current []letter
	var news []News
	var until time.Time
	for _, l := range letters {
		if time.Now().Before(l.deadline) {
			current, news = append(current, l), append(news, l.news)
		}
		if l.deadline.After(until) {
			until = l.deadline
		}
	}
	if len(current) == 0 {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	var refused []string
	err := c.ask(ctx, to.address, to.agent, kindNews, news, &refused)
	for i, l := range current {
		switch {
		case err != nil:
			l.outcome <- err
		case i < len(refused) && refused[i] != "":
			l.outcome <- errors.New(refused[i])
		default:
			l.outcome <- nil
		}
	}
}
