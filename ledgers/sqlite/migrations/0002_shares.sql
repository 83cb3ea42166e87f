-- The counts of a lease's owner and lane change when one of these is written, and are not looked at
-- otherwise: most writes of a lease set none of them.

DROP TRIGGER lease_leaves;
CREATE TRIGGER lease_leaves AFTER UPDATE OF is_final, job, repository, tenant, target, lane ON rows
WHEN OLD.kind = 1 AND OLD.is_final = 0
    AND (OLD.is_final, OLD.job, OLD.repository, OLD.tenant, OLD.target, OLD.lane)
        IS NOT (NEW.is_final, NEW.job, NEW.repository, NEW.tenant, NEW.target, NEW.lane)
BEGIN
    UPDATE shares SET count = count - 1 WHERE kind = 'job' AND name = OLD.job;
    UPDATE shares SET count = count - 1 WHERE kind = 'repository' AND name = OLD.repository;
    UPDATE shares SET count = count - 1 WHERE kind = 'tenant' AND name = OLD.tenant;
    UPDATE shares SET count = count - 1 WHERE kind = 'lane' AND name = OLD.target || '/' || OLD.lane;
END;

DROP TRIGGER lease_comes;
CREATE TRIGGER lease_comes AFTER UPDATE OF is_final, job, repository, tenant, target, lane ON rows
WHEN NEW.kind = 1 AND NEW.is_final = 0
    AND (OLD.is_final, OLD.job, OLD.repository, OLD.tenant, OLD.target, OLD.lane)
        IS NOT (NEW.is_final, NEW.job, NEW.repository, NEW.tenant, NEW.target, NEW.lane)
BEGIN
    INSERT INTO shares VALUES ('job', NEW.job, 1), ('repository', NEW.repository, 1), ('tenant', NEW.tenant, 1)
        ON CONFLICT DO UPDATE SET count = count + 1;
    INSERT INTO shares SELECT 'lane', NEW.target || '/' || NEW.lane, 1 WHERE NEW.lane IS NOT NULL
        ON CONFLICT DO UPDATE SET count = count + 1;
END;
